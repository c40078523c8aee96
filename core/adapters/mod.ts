/** Adapters: the contract of a method; grafting, merging, counting and comparing what methods make. @module */
export * from "./gate.ts";
export * from "./method.ts";
export * from "./survey_row.ts";
export * from "./define_method.ts";
export type { Advancing } from "../options/advancing.ts";
export type { Json } from "../options/json.ts";
export * from "./graft.ts";
export { merge, type MergeOptions, unmerge } from "./merge.ts";
export * from "./merge_loss.ts";
export * from "./count.ts";
export * from "./weight_update.ts";
