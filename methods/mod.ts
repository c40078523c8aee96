/**
 * Methods: one file each, with the paper's formula and little else. Imports `core` and `ops`, never `models`.
 *
 * @module
 */
export * from "./exports.ts";
export type { Wavelet } from "../numerics/wavelets.ts";
export * from "./adapters/adapter_mask.ts";
export type { MaskScore } from "./adapters/mask_scores.ts";
export { type Budget, budgetAt, type BudgetOptions } from "./low_rank/adalora_budget.ts";
export { type Combination, combine, type Election } from "./low_rank/combine.ts";
export * from "./low_rank/leading_directions.ts";
export { type LoraForm, loraForm, type LoraLayer, loraOfRanks } from "./low_rank/lora_form.ts";
export * from "./low_rank/on_original.ts";
export type { Prepared, PreparedOptions } from "./low_rank/prepared.ts";
export { type Approximation, type Limit, toLora } from "./low_rank/to_lora.ts";
export type { S4Part } from "./hybrids/s4_sizes.ts";
export { gatedSize, isGate } from "./selective/diff_gates.ts";
export * from "./selective/far_layout.ts";
export { feedForwardLayers, learnerCount } from "./selective/far_learners.ts";
export * from "./selective/fisher_mask.ts";
export type { LtSftLeaves } from "./selective/lt_sft_leaves.ts";
export { type LeafMask, maskSize, type SparseMask, type SparseOptions } from "./selective/sparse.ts";
export {
  defineLinear,
  type LayerParams,
  type LayerShape,
  type LinearSpec,
  type OwnOptions,
} from "./shared/define_linear.ts";
export type { AdapterPosition } from "./shared/define_hidden.ts";
/** How parameters start: zeros, ones, a normal or uniform draw, Kaiming's. */
export * as initial from "./shared/initial.ts";
export type { Initial } from "./shared/initial.ts";
export type { Affine } from "./shared/affine.ts";
export type { Activation, Bottleneck } from "./shared/bottleneck.ts";
export type { ShareOptions } from "./shared/expert_shares.ts";
export type { TaskOptions } from "./shared/tasks.ts";
export * from "./side_networks/pruned_side.ts";
export type { PromptEncoder, PromptEncoderParams } from "./soft_prompts/prompt_encoder.ts";
export type { PromptParams, PromptPosition, PromptStart } from "./soft_prompts/prompt_rows.ts";
export { type Blocks, blocksOf } from "./structured/blocks.ts";
export * from "./structured/principal_subspace.ts";
export {
  type LayerSplit,
  preservedRank,
  type SingularSplit,
  singularSplit,
  type SingularSplitOptions,
} from "./structured/singular_split.ts";
export type { UpdateDropout } from "./structured/update_dropout.ts";
