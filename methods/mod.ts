/**
 * Methods: one file each, with the paper's formula and little else. Imports `core` and `ops`, never `models`.
 *
 * @module
 */
export type { Wavelet } from "../numerics/wavelets.ts";
export * from "./adapters/adamix.ts";
export * from "./adapters/adapter_fusion.ts";
export * from "./adapters/adapter_mask.ts";
export type { MaskScore } from "./adapters/mask_scores.ts";
export { averaged, type AveragedOptions } from "./adapters/averaged.ts";
export * from "./adapters/bottleneck_adapter.ts";
export { bySpans } from "./adapters/by_spans.ts";
export * from "./adapters/compacter.ts";
export * from "./adapters/houlsby.ts";
export * from "./adapters/invertible_adapter.ts";
export * from "./adapters/krona_b.ts";
export * from "./adapters/parallel_adapter.ts";
export * from "./adapters/pfeiffer.ts";
export * from "./adapters/phm_adapter.ts";
export * from "./adapters/sparse_adapter.ts";
export * from "./hybrids/central_gate.ts";
export * from "./hybrids/mam.ts";
export { parallel } from "./hybrids/parallel.ts";
export { type Routed, routed, type RoutedOptions } from "./hybrids/routed.ts";
export * from "./hybrids/s4.ts";
export * from "./hybrids/sentence_gate.ts";
export * from "./hybrids/unipelt.ts";
export * from "./low_rank/adalora.ts";
export { type Budget, budgetAt, type BudgetOptions } from "./low_rank/adalora_budget.ts";
export { type Combination, combine, type Election } from "./low_rank/combine.ts";
export * from "./low_rank/delora.ts";
export * from "./low_rank/dora.ts";
export * from "./low_rank/eva.ts";
export * from "./low_rank/fused_projection.ts";
export * from "./low_rank/glora.ts";
export * from "./low_rank/leading_directions.ts";
export * from "./low_rank/lily.ts";
export * from "./low_rank/loftq.ts";
export * from "./low_rank/lora.ts";
export { type LoraForm, loraForm, type LoraLayer } from "./low_rank/lora_form.ts";
export * from "./low_rank/lora_plus.ts";
export * from "./low_rank/olora.ts";
export * from "./low_rank/on_original.ts";
export { pissa, type PissaOptions } from "./low_rank/pissa.ts";
export * from "./low_rank/poly.ts";
export type { Prepared, PreparedOptions } from "./low_rank/prepared.ts";
export * from "./low_rank/pvera.ts";
export * from "./low_rank/qlora.ts";
export * from "./low_rank/randlora.ts";
export * from "./low_rank/rslora.ts";
export * from "./low_rank/tiny_lora.ts";
export { type Approximation, type Limit, toLora } from "./low_rank/to_lora.ts";
export * from "./low_rank/uni_lora.ts";
export * from "./low_rank/vb_lora.ts";
export * from "./low_rank/vera.ts";
export * from "./rescaling/ia3.ts";
export * from "./rescaling/loreft.ts";
export * from "./selective/beft.ts";
export * from "./selective/bitfit.ts";
export * from "./selective/cross_attention.ts";
export { gatedSize, isGate } from "./selective/diff_gates.ts";
export { diffPruning, type DiffPruningOptions } from "./selective/diff_pruning.ts";
export * from "./selective/far.ts";
export * from "./selective/far_layout.ts";
export * from "./selective/fish_mask.ts";
export * from "./selective/fisher_mask.ts";
export * from "./selective/fixed_weights.ts";
export * from "./selective/full_fine_tune.ts";
export * from "./selective/layer_norm_tune.ts";
export { ltSft, type LtSftLeaves, type LtSftOptions } from "./selective/lt_sft.ts";
export * from "./selective/modules_to_save.ts";
export * from "./selective/pruned_diff.ts";
export { type LeafMask, maskSize, type SparseMask, type SparseOptions } from "./selective/sparse.ts";
export * from "./selective/top_layers.ts";
export * from "./selective/trainable_tokens.ts";
export {
  defineLinear,
  type LayerParams,
  type LayerShape,
  type LinearSpec,
  type OwnOptions,
} from "./shared/define_linear.ts";
export type { AdapterPosition } from "./shared/define_hidden.ts";
export * as initial from "./shared/initial.ts";
export type { Affine } from "./shared/affine.ts";
export type { Activation, Bottleneck } from "./shared/bottleneck.ts";
export type { ShareOptions } from "./shared/expert_shares.ts";
export type { TaskOptions } from "./shared/tasks.ts";
export * from "./side_networks/attention_fusion.ts";
export * from "./side_networks/ladder_side_tuning.ts";
export * from "./side_networks/lets.ts";
export * from "./side_networks/pruned_side.ts";
export * from "./side_networks/xlora.ts";
export * from "./soft_prompts/context_prompt_tuning.ts";
export * from "./soft_prompts/ipt.ts";
export {
  iptAutoencoder,
  iptAutoencoderDefinition,
  type IptAutoencoderOptions,
  type IptAutoencoderParams,
  type IptDecoder,
} from "./soft_prompts/ipt_autoencoder.ts";
export * from "./soft_prompts/llama_adapter.ts";
export * from "./soft_prompts/multitask_prompt_tuning.ts";
export * from "./soft_prompts/p_tuning.ts";
export { pTuningV2, type PTuningV2Options } from "./soft_prompts/p_tuning_v2.ts";
export * from "./soft_prompts/prefix_tuning.ts";
export type { PromptEncoder, PromptEncoderParams } from "./soft_prompts/prompt_encoder.ts";
export type { PromptParams, PromptPosition, PromptStart } from "./soft_prompts/prompt_rows.ts";
export * from "./soft_prompts/prompt_tuning.ts";
export * from "./soft_prompts/spot.ts";
export { type Blocks, piecesOf } from "./structured/blocks.ts";
export * from "./structured/boft.ts";
export * from "./structured/c3a.ts";
export * from "./structured/deft.ts";
export * from "./structured/fourierft.ts";
export * from "./structured/gralora.ts";
export * from "./structured/hira.ts";
export * from "./structured/hra.ts";
export * from "./structured/intrinsic_said.ts";
export * from "./structured/krona.ts";
export * from "./structured/loha.ts";
export * from "./structured/lokr.ts";
export * from "./structured/miss.ts";
export * from "./structured/oft.ts";
export * from "./structured/osf.ts";
export * from "./structured/peanut.ts";
export * from "./structured/principal_subspace.ts";
export * from "./structured/psoft.ts";
export * from "./structured/road.ts";
export * from "./structured/shira.ts";
export {
  type LayerSplit,
  preservedRank,
  type SingularSplit,
  singularSplit,
  type SingularSplitOptions,
} from "./structured/singular_split.ts";
export type { UpdateDropout } from "./structured/update_dropout.ts";
export * from "./structured/waveft.ts";
