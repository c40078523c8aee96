/** The options that each method reads, by name. A misspelt option changes nothing in silence, so these lists refuse it. */
import type {
  AdaloraOptions,
  AdamixOptions,
  AttentionFusionOptions,
  BitfitOptions,
  BoftOptions,
  BottleneckAdapterOptions,
  CompacterOptions,
  CrossAttentionOptions,
  DoraOptions,
  FourierFtOptions,
  FusedIa3Options,
  FusedLoraOptions,
  HoulsbyOptions,
  HraOptions,
  Ia3Options,
  IntrinsicSaidOptions,
  InvertibleAdapterOptions,
  KronaBresOptions,
  KronaOptions,
  LadderSideTuningOptions,
  LayerNormTuneOptions,
  LetsOptions,
  LoftqOptions,
  LohaOptions,
  LokrOptions,
  LoraOptions,
  LoraPlusOptions,
  LoreftOptions,
  ModulesToSaveOptions,
  OftOptions,
  OnlyOptions,
  ParallelAdapterOptions,
  PfeifferOptions,
  PhmAdapterOptions,
  PrefixTuningOptions,
  PromptTuningOptions,
  PTuningOptions,
  S4Options,
  TopLayersOptions,
  TrainableTokensOptions,
  VeraOptions,
} from "../methods/mod.ts";

/** Every name of `O`; a list that lacks one does not type-check. */
const all = <O>() =>
<const N extends readonly (keyof O & string)[]>(
  ...names: [Exclude<keyof O & string, N[number]>] extends [never] ? N : never
): readonly string[] => names;

const TARGETS = ["targets", "exclude", "layers"] as const;
const UPDATE = ["rowDropout", "rowDropoutScaling", "moduleDropout"] as const;
const LORA = [
  ...TARGETS,
  "rank",
  "alpha",
  "scaling",
  "dropout",
  "rankPattern",
  "alphaPattern",
  "initialization",
  "bias",
  "branchBias",
] as const;
const BUDGET = [
  "targetRank",
  "initialSteps",
  "finalSteps",
  "interval",
  "beta1",
  "beta2",
  "totalSteps",
] as const;

/** A method that is built from options alone, as its factory is named. */
export type BuiltMethod =
  | "lora"
  | "dora"
  | "loraPlus"
  | "loftq"
  | "adalora"
  | "loha"
  | "lokr"
  | "krona"
  | "vera"
  | "oft"
  | "boft"
  | "hra"
  | "miss"
  | "fourierft"
  | "intrinsicSaid"
  | "bitfit"
  | "ia3"
  | "layerNormTune"
  | "topLayers"
  | "crossAttention"
  | "trainableTokens"
  | "only"
  | "modulesToSave"
  | "houlsby"
  | "pfeiffer"
  | "parallelAdapter"
  | "bottleneckAdapter"
  | "fusedLora"
  | "fusedIa3"
  | "phmAdapter"
  | "compacter"
  | "kronaB"
  | "kronaBres"
  | "adamix"
  | "invertibleAdapter"
  | "prefixTuning"
  | "promptTuning"
  | "pTuning"
  | "loreft"
  | "ladderSideTuning"
  | "s4"
  | "attentionFusion"
  | "lets";

/** Names of options by method. */
export const METHOD_OPTIONS: Readonly<Record<BuiltMethod, readonly string[]>> = {
  lora: all<LoraOptions>()(...LORA),
  dora: all<DoraOptions>()(...LORA, "decomposition"),
  loraPlus: all<LoraPlusOptions>()(...LORA, "ratio", "embeddingRate"),
  loftq: all<Omit<LoftqOptions, "key">>()(
    ...TARGETS,
    ...["rank", "alpha", "scaling", "dropout", "rankPattern", "alphaPattern", "bias", "branchBias"] as const,
    ...["dtype", "iterations"] as const,
  ),
  adalora: all<AdaloraOptions>()(
    ...TARGETS,
    ...BUDGET,
    ...["rank", "alpha", "dropout", "orthogonality", "rankPattern"] as const,
  ),
  loha: all<LohaOptions>()(
    ...TARGETS,
    ...UPDATE,
    ...["rank", "alpha", "rankPattern", "alphaPattern", "initialization"] as const,
  ),
  lokr: all<LokrOptions>()(
    ...TARGETS,
    ...UPDATE,
    ...["rank", "alpha", "rankPattern", "alphaPattern", "factor", "order", "split"] as const,
    ...["scaling", "initialization"] as const,
  ),
  krona: all<KronaOptions>()(
    ...TARGETS,
    ...["scale", "firstFactor", "zero", "initialization", "dropout"] as const,
  ),
  vera: all<VeraOptions>()(
    ...TARGETS,
    ...["rank", "projectionSeed", "projections", "initialD", "dropout"] as const,
  ),
  oft: all<OftOptions>()(...TARGETS, "blocks", "uneven", "sharing", "cayley", "constraint"),
  boft: all<BoftOptions>()(...TARGETS, "blocks", "factors"),
  hra: all<HraOptions>()(...TARGETS, "rank", "orthogonality", "initialization"),
  // A union of three forms, so that no list could be complete for one.
  miss: [...TARGETS, "rank", "form", "miniRank", "dropout"],
  fourierft: all<FourierFtOptions>()(
    ...TARGETS,
    ...["frequencies", "frequencyPattern", "scale", "positionSeed", "initialization"] as const,
  ),
  intrinsicSaid: all<IntrinsicSaidOptions>()("dimension", "parameters", "scales", "seed", "blocks"),
  ia3: all<Ia3Options>()(...TARGETS, "feedForward"),
  bitfit: all<BitfitOptions>()("biases", "missing", "classifier"),
  layerNormTune: all<LayerNormTuneOptions>()("norms"),
  topLayers: all<TopLayersOptions>()("blocks", "stack", "above", "tied"),
  crossAttention: all<CrossAttentionOptions>()("embeddings", "start"),
  trainableTokens: all<TrainableTokensOptions>()("tokens"),
  only: all<OnlyOptions>()("parameters"),
  modulesToSave: all<ModulesToSaveOptions>()("modules"),
  houlsby: all<HoulsbyOptions>()("reduction", "activation", "after", "deviation"),
  pfeiffer: all<PfeifferOptions>()("reduction", "activation", "reads"),
  parallelAdapter: all<ParallelAdapterOptions>()("reduction", "scale", "dropout", "activation", "reads"),
  bottleneckAdapter: all<BottleneckAdapterOptions>()(
    ...[
      "after",
      "reduction",
      "activation",
      "reads",
      "keeps",
      "norms",
      "scale",
      "residual",
      "dropout",
    ] as const,
    ...["branchDropout", "phm"] as const,
  ),
  fusedLora: all<FusedLoraOptions>()("parts", "rank", "alpha", "dropout"),
  fusedIa3: all<FusedIa3Options>()("parts"),
  phmAdapter: all<PhmAdapterOptions>()("reduction", "dimension", "activation", "after"),
  compacter: all<CompacterOptions>()("reduction", "dimension", "rank", "activation", "after", "reads"),
  kronaB: all<Omit<KronaBresOptions, "residual">>()("scale", "firstFactor", "zero", "initialization", "bias"),
  kronaBres: all<KronaBresOptions>()("scale", "firstFactor", "zero", "initialization", "bias", "residual"),
  adamix: all<AdamixOptions>()("experts", "reduction", "activation", "mixes"),
  invertibleAdapter: all<InvertibleAdapterOptions>()("reduction", "activation", "stands", "undone"),
  prefixTuning: all<PrefixTuningOptions>()("length", "network", "dropout", "positions", "distances", "rows"),
  promptTuning: all<PromptTuningOptions>()("length", "start", "where", "madeBy"),
  pTuning: all<PTuningOptions>()("length", "where", "encoder"),
  loreft: all<LoreftOptions>()(
    ...[
      "rank",
      "first",
      "last",
      "ends",
      "dropout",
      "rows",
      "subtracts",
      "activation",
      "atMost",
      "stacks",
    ] as const,
  ),
  s4: all<S4Options>()("budget", "groups", "parts"),
  attentionFusion: all<AttentionFusionOptions>()("embedding", "scale", "query"),
  lets: all<LetsOptions>()("layers", "deltas", "pool", "search"),
  ladderSideTuning: all<Omit<LadderSideTuningOptions, "start">>()("reduction", "temperature", "layers"),
};
