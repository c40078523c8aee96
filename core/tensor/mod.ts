/** Tensors: handles, shapes, dtypes, keys, ownership, derivatives and the backend seam. Imports nothing outside this folder. @module */
export * from "./dtype.ts";
export * from "./shape.ts";
export * from "./key.ts";
export * from "./backend.ts";
export * from "./storage.ts";
export * from "./tensor.ts";
export * from "./scope.ts";
export * from "./lazy.ts";
export * from "./tree.ts";
export * from "./define_op.ts";
export * from "./autodiff.ts";
export * from "./read.ts";
