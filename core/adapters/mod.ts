/** Adapters: the contract of a method; grafting, merging, counting and comparing what methods make. @module */
export * from "./method.ts";
export * from "./graft.ts";
export { merge, type MergeOptions, unmerge } from "./merge.ts";
export * from "./merge_loss.ts";
export * from "./count.ts";
export * from "./weight_update.ts";
