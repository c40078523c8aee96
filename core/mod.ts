/**
 * The heart: tensors, weight trees, edits, methods and what is done with them. Imports `ops` only.
 *
 * @module
 */
export * from "../tensor/mod.ts";
export * from "./weights.ts";
export * from "./coded_matrix.ts";
export * from "./place.ts";
export * from "./linear_map.ts";
export * from "./linear_maps/mod.ts";
export * from "./edit.ts";
export * from "./fold.ts";
export * from "./targets.ts";
export * from "./labels.ts";
export * from "./model.ts";
export * from "./new_model.ts";
export * from "./method.ts";
export { callAt, type Pass, weightPass } from "./pass.ts";
export * from "./places/attention.ts";
export * from "./places/hidden.ts";
export * from "./places/linear.ts";
export * from "./places/prompt.ts";
export * from "./places/weight.ts";
export * from "./matrix.ts";
export * from "./weight_update.ts";
export * from "./graft.ts";
export { merge, type MergeOptions, unmerge } from "./merge.ts";
export * from "./merge_loss.ts";
export * from "./count.ts";
export * from "./method_table.ts";
export * from "./quantize.ts";
export * from "./coding_error.ts";
export * from "./compose.ts";
export * from "./scaled.ts";
export * from "./settled_parts.ts";
export * from "./gated.ts";
export * from "./lifted.ts";
export * from "./linear_effect.ts";
export { perRow } from "./rows.ts";
export * from "./forward.ts";
export * from "./observe.ts";
export {
  type Ending,
  endsOf,
  type GeneratedToken,
  generateIds,
  type GenerateIdsOptions,
  type Sampler,
} from "./generate_ids.ts";
export * from "./generate.ts";
