/**
 * The heart: tensors, weight trees, edits, methods and what is done with them. Imports `ops` only.
 *
 * @module
 */
export * from "../tensor/mod.ts";
export * from "./trees/weights.ts";
export * from "./trees/matrix_layout.ts";
export * from "./edits/place.ts";
export * from "./linear_maps/linear_map.ts";
export * from "./linear_maps/mod.ts";
export * from "./edits/edit.ts";
export * from "./edits/fold.ts";
export * from "./edits/targets.ts";
export * from "./trees/labels.ts";
export * from "./trees/model.ts";
export * from "./trees/new_model.ts";
export * from "./adapters/method.ts";
export { callAt, type Pass, weightPass } from "./places/pass.ts";
export * from "./places/attention.ts";
export * from "./places/hidden.ts";
export * from "./places/linear.ts";
export * from "./places/prompt.ts";
export * from "./places/weight.ts";
export * from "./places/matrix.ts";
export * from "./adapters/weight_update.ts";
export * from "./adapters/graft.ts";
export { merge, type MergeOptions, unmerge } from "./adapters/merge.ts";
export * from "./adapters/merge_loss.ts";
export * from "./adapters/count.ts";
export * from "./running/method_costs.ts";
export * from "./trees/quantize.ts";
export * from "./trees/quantization_error.ts";
export * from "./combinators/compose.ts";
export * from "./combinators/scaled.ts";
export * from "./combinators/finalized_parts.ts";
export * from "./combinators/gated.ts";
export * from "./combinators/method_hooks.ts";
export * from "./edits/linear_effect.ts";
export { perRow } from "./combinators/per_row.ts";
export * from "./running/forward.ts";
export * from "./running/capture_inputs.ts";
export {
  eosTokenIds,
  type GeneratedToken,
  generateIds,
  type GenerateIdsOptions,
  type Sampler,
  type StopReason,
} from "./running/generate_ids.ts";
export * from "./running/generate.ts";
