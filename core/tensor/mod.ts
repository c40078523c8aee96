/** Tensors: handles, shapes, dtypes, keys, ownership, derivatives and the backend seam. Imports nothing outside this folder. @module */
export * from "./dtype.ts";
export * from "./shape.ts";
export * from "./key.ts";
export * from "./backend.ts";
