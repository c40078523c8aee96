/**
 * The core: tensors, weight trees, edits, methods and the operations on them. Imports only `ops`.
 *
 * @module
 */
export * from "../tensor/mod.ts";
export * from "./linear_maps/mod.ts";
export * from "./edits/mod.ts";
export * from "./trees/mod.ts";
export * from "./places/mod.ts";
export * from "./adapters/mod.ts";
export * from "./combinators/mod.ts";
export * from "./running/mod.ts";
