/** The public names of every method's file. Written by `deno task index`; not to be changed by hand. */
export { adamix, type AdamixOptions, adamixRoute } from "./adapters/adamix.ts";
export {
  adapterFusion,
  type AdapterFusionOptions,
  type Annealed,
  type FusionMatrix,
} from "./adapters/adapter_fusion.ts";
export { averaged, type AveragedOptions } from "./adapters/averaged.ts";
export {
  type AdapterNorm,
  bottleneckAdapter,
  type BottleneckAdapterOptions,
} from "./adapters/bottleneck_adapter.ts";
export { bySpans } from "./adapters/by_spans.ts";
export { compacter, type CompacterOptions, compacterPlusPlus } from "./adapters/compacter.ts";
export { houlsby, type HoulsbyOptions } from "./adapters/houlsby.ts";
export {
  invertibleAdapter,
  type InvertibleAdapterOptions,
  readingStack,
} from "./adapters/invertible_adapter.ts";
export { kronaB, type KronaBOptions, kronaBres, type KronaBresOptions } from "./adapters/krona_b.ts";
export { parallelAdapter, type ParallelAdapterOptions } from "./adapters/parallel_adapter.ts";
export { pfeiffer, type PfeifferOptions } from "./adapters/pfeiffer.ts";
export { phmAdapter, type PhmAdapterOptions } from "./adapters/phm_adapter.ts";
export { sparseAdapter, type SparseAdapterOptions } from "./adapters/sparse_adapter.ts";
export { centralGate } from "./hybrids/central_gate.ts";
export { mam, type MamOptions, type MamParts } from "./hybrids/mam.ts";
export { parallel } from "./hybrids/parallel.ts";
export { type Routed, routed, type RoutedOptions } from "./hybrids/routed.ts";
export { s4, type S4Options } from "./hybrids/s4.ts";
export { keyValueGate, sentenceGate } from "./hybrids/sentence_gate.ts";
export { unipelt, type UnipeltOptions, type UnscaledLora } from "./hybrids/unipelt.ts";
export { adalora, type AdaloraOptions } from "./low_rank/adalora.ts";
export { corda, type CordaMode, type CordaOptions } from "./low_rank/corda.ts";
export {
  delora,
  type DeloraFactors,
  type DeloraOptions,
  type DeloraParams,
  deloraRank,
} from "./low_rank/delora.ts";
export { dora, type DoraOptions } from "./low_rank/dora.ts";
export { eva, type EvaOptions, type EvaPrepared } from "./low_rank/eva.ts";
export {
  fusedIa3,
  type FusedIa3Options,
  fusedLora,
  type FusedLoraOptions,
  type ProjectionPart,
} from "./low_rank/fused_projection.ts";
export { glora, type GloraMatrix, type GloraOptions, type GloraPart, gloraShapes } from "./low_rank/glora.ts";
export { kasa, type KasaNoise, type KasaOptions, type KasaParams } from "./low_rank/kasa.ts";
export { lily, type LilyLayer, lilyLayers, type LilyOptions } from "./low_rank/lily.ts";
export { loftq, type LoftqOptions } from "./low_rank/loftq.ts";
export { lora, type LoraFactors, type LoraOptions, loraRank, loraScale } from "./low_rank/lora.ts";
export { loraGa, type LoraGaDirection, type LoraGaOptions } from "./low_rank/lora_ga.ts";
export { loraPlus, type LoraPlusOptions } from "./low_rank/lora_plus.ts";
export { moslora, type MosloraFactors, type MosloraOptions } from "./low_rank/moslora.ts";
export { olora } from "./low_rank/olora.ts";
export { pissa, type PissaOptions } from "./low_rank/pissa.ts";
export { poly, type PolyOptions, type PolyParams, polyShapes } from "./low_rank/poly.ts";
export { pvera, type PveraOptions, pveraShapes } from "./low_rank/pvera.ts";
export { qlora } from "./low_rank/qlora.ts";
export {
  randlora,
  type RandLoraOptions,
  type RandLoraScales,
  randLoraScaleShapes,
  randLoraShapes,
} from "./low_rank/randlora.ts";
export { rslora } from "./low_rank/rslora.ts";
export { tinyLora, type TinyLoraOptions, tinyLoraShapes } from "./low_rank/tiny_lora.ts";
export { uniLora, type UniLoraOptions } from "./low_rank/uni_lora.ts";
export { vbLora, type VbLoraLogits, type VbLoraOptions, vbLoraShapes } from "./low_rank/vb_lora.ts";
export {
  vera,
  type VeraOptions,
  veraProjections,
  veraScale,
  veraShapes,
  type VeraVectors,
} from "./low_rank/vera.ts";
export { ia3, type Ia3Options, scalesInput } from "./rescaling/ia3.ts";
export { loreft, type LoreftOptions } from "./rescaling/loreft.ts";
export { beft, type BeftOptions } from "./selective/beft.ts";
export { bitfit, type BitfitOptions } from "./selective/bitfit.ts";
export { crossAttention, type CrossAttentionOptions } from "./selective/cross_attention.ts";
export { diffPruning, type DiffPruningOptions, type KeptDifferences } from "./selective/diff_pruning.ts";
export { far, type FarOptions, type PrimingOptions } from "./selective/far.ts";
export { fishMask } from "./selective/fish_mask.ts";
export { fixedWeights, type FixedWeightsOptions } from "./selective/fixed_weights.ts";
export { fullFineTune, only, type OnlyOptions } from "./selective/full_fine_tune.ts";
export { chosenNorms, layerNormTune, type LayerNormTuneOptions } from "./selective/layer_norm_tune.ts";
export { ltSft, type LtSftOptions, type SparsePhaseOptions } from "./selective/lt_sft.ts";
export {
  modulesToSave,
  type ModulesToSaveOptions,
  replaceWeight,
  type SavedHead,
  type SavedLeaf,
  savedLeaves,
} from "./selective/modules_to_save.ts";
export { diffPruningFixed, keptCount, prunedDiff, type PrunedDiffOptions } from "./selective/pruned_diff.ts";
export { topLayers, type TopLayersOptions } from "./selective/top_layers.ts";
export {
  type TokenRows,
  tokenRows,
  tokenTensors,
  trainableTokens,
  type TrainableTokensOptions,
} from "./selective/trainable_tokens.ts";
export { attentionFusion, type AttentionFusionOptions } from "./side_networks/attention_fusion.ts";
export { ladderSideTuning, type LadderSideTuningOptions } from "./side_networks/ladder_side_tuning.ts";
export { lets, letsLayers, type LetsOptions } from "./side_networks/lets.ts";
export { xlora, type XloraOptions } from "./side_networks/xlora.ts";
export { cartridge, type CartridgeOptions } from "./soft_prompts/cartridge.ts";
export {
  type ContextPromptParams,
  contextPromptTuning,
  type ContextPromptTuningOptions,
} from "./soft_prompts/context_prompt_tuning.ts";
export { dept, type DeptOptions, type DeptParams } from "./soft_prompts/dept.ts";
export { ipt, type IptOptions, type IptParams } from "./soft_prompts/ipt.ts";
export {
  iptAutoencoder,
  type IptAutoencoderOptions,
  type IptAutoencoderParams,
  type IptDecoder,
} from "./soft_prompts/ipt_autoencoder.ts";
export {
  llamaAdapter,
  type LlamaAdapterOptions,
  type LlamaAdapterParams,
  llamaAdapterPlaces,
} from "./soft_prompts/llama_adapter.ts";
export {
  type MultitaskPrompt,
  multitaskPromptStacks,
  multitaskPromptTuning,
  type MultitaskPromptTuningOptions,
  newTask,
} from "./soft_prompts/multitask_prompt_tuning.ts";
export { pTuning, type PTuningOptions } from "./soft_prompts/p_tuning.ts";
export { pTuningV2, type PTuningV2Options, type PTuningV2Parts } from "./soft_prompts/p_tuning_v2.ts";
export { prefixTuning, type PrefixTuningOptions } from "./soft_prompts/prefix_tuning.ts";
export { promptTuning, type PromptTuningOptions, withSlots } from "./soft_prompts/prompt_tuning.ts";
export {
  type PromptSimilarity,
  type PromptSources,
  type RankedSource,
  rankSources,
  sourceWeights,
  spot,
  type SpotOptions,
} from "./soft_prompts/spot.ts";
export { boft, type BoftOptions, type BoftParams } from "./structured/boft.ts";
export { c3a, type C3aOptions } from "./structured/c3a.ts";
export { deft, type DeftOptions } from "./structured/deft.ts";
export { fourierft, type FourierFtOptions } from "./structured/fourierft.ts";
export { gralora, type GraloraOptions, type GraloraParams } from "./structured/gralora.ts";
export { hira, type HiraFactors, type HiraOptions } from "./structured/hira.ts";
export { hra, type HraOptions } from "./structured/hra.ts";
export {
  intrinsicSaid,
  type IntrinsicSaidOptions,
  saidPaths,
  saidScales,
} from "./structured/intrinsic_said.ts";
export { krona, type KronaFactors, type KronaOptions, kronaShapes } from "./structured/krona.ts";
export { loha, type LohaFactors, type LohaOptions } from "./structured/loha.ts";
export { factorPair, lokr, type LokrFactor, type LokrFactors, type LokrOptions } from "./structured/lokr.ts";
export { miss, type MissCommon, type MissOptions } from "./structured/miss.ts";
export { oft, type OftOptions } from "./structured/oft.ts";
export { osf, type OsfOptions, type OsfParams } from "./structured/osf.ts";
export { peanut, type PeanutOptions } from "./structured/peanut.ts";
export { psoft, type PsoftOptions } from "./structured/psoft.ts";
export { road, type RoadOptions, type RoadParams } from "./structured/road.ts";
export { shira, type ShiraOptions, type ShiraParams } from "./structured/shira.ts";
export { waveft, waveftCounts, type WaveFtOptions } from "./structured/waveft.ts";
