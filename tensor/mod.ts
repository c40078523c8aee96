/**
 * Tensors: handles, shapes, dtypes, keys, ownership, derivatives and the backend interface. Imports nothing
 * outside this folder. @module
 */
export * from "./dtype.ts";
export * from "./shape.ts";
export * from "./key.ts";
export * from "./backend.ts";
export { forgetBackend, memory, type Owner, resetPeak, Storage, transiently } from "./storage.ts";
export * from "./tensor.ts";
export * from "./create.ts";
export { scope, type Synchronous, tensorsIn } from "./scope.ts";
export { dispose, keep, keepMade, type Root } from "./root.ts";
export * from "./lazy.ts";
export * from "./tree.ts";
export {
  defineKernel,
  defineOp,
  type Kernel,
  type KernelDefinition,
  type Op,
  type OpDefinition,
  type Pullback,
  viewAs,
} from "./define_op.ts";
export * from "./autodiff.ts";
export * from "./read.ts";
