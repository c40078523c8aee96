/**
 * The options that each method reads, by name, and what each may be: what is misspelt is refused, not passed over.
 * Longer than 300 lines because it is one table.
 */
import type {
  Activation,
  AdaloraOptions,
  AdamixOptions,
  AttentionFusionOptions,
  BeftOptions,
  BitfitOptions,
  BoftOptions,
  BottleneckAdapterOptions,
  C3aOptions,
  CompacterOptions,
  ContextPromptTuningOptions,
  CrossAttentionOptions,
  DeftOptions,
  DeloraOptions,
  DoraOptions,
  FourierFtOptions,
  FusedIa3Options,
  FusedLoraOptions,
  GloraOptions,
  GraloraOptions,
  HiraOptions,
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
  LilyOptions,
  LlamaAdapterOptions,
  LoftqOptions,
  LohaOptions,
  LokrOptions,
  LoraOptions,
  LoraPlusOptions,
  LoreftOptions,
  ModulesToSaveOptions,
  MultitaskPromptTuningOptions,
  OftOptions,
  OnlyOptions,
  OsfOptions,
  ParallelAdapterOptions,
  PeanutOptions,
  PfeifferOptions,
  PhmAdapterOptions,
  PolyOptions,
  PrefixTuningOptions,
  PromptTuningOptions,
  PTuningOptions,
  PveraOptions,
  RandLoraOptions,
  RoadOptions,
  S4Options,
  ShiraOptions,
  TinyLoraOptions,
  TopLayersOptions,
  TrainableTokensOptions,
  UniLoraOptions,
  VbLoraOptions,
  VeraOptions,
  WaveFtOptions,
} from "../../methods/mod.ts";
import {
  ACTIVATION,
  AFTER,
  BESIDE,
  BLOCKS,
  CODED,
  ENCODER,
  KRONA,
  LORA,
  LORA_KINDS,
  PARTS,
  PATTERN,
  START,
  TARGETS,
  TRAINED,
  UPDATE,
  WHERE,
} from "./common_option_kinds.ts";
import {
  any,
  count,
  factor,
  fields,
  type Kinds,
  type KindsOf,
  list,
  number,
  oneOf,
  places,
  record,
  seed,
  text,
} from "./option_kinds.ts";

/** A kind for each option of `O`; a list that lacks one, or a name of a choice, does not type-check. */
const all = <O>() => (kinds: KindsOf<O>): Kinds => kinds;

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
  | "lily"
  | "oft"
  | "boft"
  | "poly"
  | "glora"
  | "osf"
  | "hra"
  | "miss"
  | "fourierft"
  | "randlora"
  | "c3a"
  | "tinyLora"
  | "pvera"
  | "uniLora"
  | "vbLora"
  | "deft"
  | "peanut"
  | "road"
  | "delora"
  | "hira"
  | "shira"
  | "gralora"
  | "waveft"
  | "intrinsicSaid"
  | "bitfit"
  | "beft"
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
  | "multitaskPromptTuning"
  | "contextPromptTuning"
  | "llamaAdapter"
  | "loreft"
  | "ladderSideTuning"
  | "s4"
  | "attentionFusion"
  | "lets";

/** Kinds of options by method. */
export const METHOD_OPTIONS: Readonly<Record<BuiltMethod, Kinds>> = {
  lora: all<LoraOptions>()(LORA),
  dora: all<DoraOptions>()({ ...LORA, decomposition: oneOf("paper", "adapterHub") }),
  loraPlus: all<LoraPlusOptions>()({ ...LORA, ratio: number, embeddingRate: number }),
  loftq: all<Omit<LoftqOptions, "key">>()({
    ...LORA_KINDS,
    dtype: CODED,
    iterations: count,
  }),
  adalora: all<AdaloraOptions>()({
    ...TARGETS,
    ...{ rank: number, alpha: factor, dropout: number, orthogonality: number, rankPattern: PATTERN },
    ...{ targetRank: number, initialSteps: number, finalSteps: number, interval: number },
    ...{ beta1: number, beta2: number, totalSteps: count },
  }),
  loha: all<LohaOptions>()({ ...TARGETS, ...UPDATE }),
  lokr: all<LokrOptions>()({
    ...TARGETS,
    ...UPDATE,
    factor: number,
    order: oneOf("given", "smallerFirst"),
    split: oneOf("none", "second", "both"),
    scaling: oneOf("standard", "unitWhenFull"),
  }),
  krona: all<KronaOptions>()({ ...TARGETS, ...KRONA, dropout: number }),
  vera: all<VeraOptions>()({
    ...TARGETS,
    ...{ rank: number, projectionSeed: seed, initialD: number, dropout: number },
    projections: oneOf("stored", "regenerated"),
  }),
  lily: all<LilyOptions>()({
    ...TARGETS,
    ...{ rank: count, stride: count, experts: count, scale: factor },
    sharing: any(oneOf("modules", "all"), list(text)),
    mean: oneOf("text", "batch"),
    initialization: oneOf("zero", "none"),
  }),
  oft: all<OftOptions>()({
    ...TARGETS,
    blocks: BLOCKS,
    uneven: oneOf("refuse", "nearest"),
    sharing: oneOf("separate", "shared"),
    cayley: any(oneOf("exact"), fields<{ readonly terms: number }>({ terms: number })),
    constraint: number,
  }),
  boft: all<BoftOptions>()({ ...TARGETS, blocks: BLOCKS, factors: number, dropout: number }),
  poly: all<PolyOptions>()({
    ...TARGETS,
    ...{ rank: number, skills: number, pieces: number, tasks: list(text), task: text },
    routing: oneOf("sampled", "mean"),
    initialization: oneOf("default", "none"),
  }),
  glora: all<GloraOptions>()({
    ...TARGETS,
    rank: number,
    a: oneOf("lowRank", "vector", "constant", "none"),
    b: oneOf("lowRank", "vector", "constant", "none"),
    c: oneOf("lowRank", "vector", "none"),
    d: oneOf("vector", "constant", "none"),
    e: oneOf("vector", "constant", "none"),
    initialization: oneOf("default", "none"),
  }),
  osf: all<Omit<OsfOptions, "split">>()({ ...TARGETS, preserved: number }),
  hra: all<HraOptions>()({
    ...TARGETS,
    rank: number,
    orthogonality: any(number, oneOf("exact")),
    initialization: oneOf("pairs", "none"),
  }),
  // A union of three forms, so that no list could be complete for one.
  miss: {
    ...TARGETS,
    rank: number,
    form: oneOf("standard", "mini", "bat"),
    miniRank: number,
    dropout: number,
  },
  fourierft: all<FourierFtOptions>()({
    ...TARGETS,
    ...{ frequencies: number, frequencyPattern: record(count), scale: factor, positionSeed: seed },
    initialization: oneOf("normal", "zeros"),
  }),
  vbLora: all<VbLoraOptions>()({
    ...TARGETS,
    ...{ rank: count, vectors: count, length: count, topK: count },
    ...{ bankBound: number, deviation: number, dropout: number },
  }),
  uniLora: all<UniLoraOptions>()({
    ...TARGETS,
    ...{ rank: count, dimension: count, projectionSeed: seed, bound: number, dropout: number },
    assignment: oneOf("uniform", "balanced"),
    initialization: oneOf("uniform", "normal"),
  }),
  pvera: all<PveraOptions>()({
    ...TARGETS,
    ...{ rank: count, projectionSeed: seed, initialD: number, dropout: number },
    projections: oneOf("stored", "regenerated"),
  }),
  tinyLora: all<Omit<TinyLoraOptions, "directions">>()({
    ...TARGETS,
    ...{ rank: count, dimension: count, tying: number, projectionSeed: seed, dropout: number },
    singularValues: oneOf("left", "split"),
    projections: oneOf("stored", "regenerated"),
    initialization: oneOf("zeros", "uniform"),
  }),
  c3a: all<C3aOptions>()({
    ...TARGETS,
    ...{ block: number, blockPattern: record(count) },
    initialization: oneOf("xavier", "kaiming", "normal", "zeros"),
  }),
  deft: all<DeftOptions>()({
    ...TARGETS,
    ...{ rank: count, alpha: factor, dropout: number },
    projection: oneOf("relu", "qr"),
    form: oneOf("deft", "para"),
    initialization: oneOf("identity", "normal"),
  }),
  peanut: all<PeanutOptions>()({
    ...TARGETS,
    ...{ rank: count, depth: number, activation: ACTIVATION, scale: factor },
    initialization: oneOf("zero", "none"),
  }),
  randlora: all<RandLoraOptions>()({
    ...TARGETS,
    ...{ rank: number, alpha: factor, projectionSeed: seed, dropout: number },
    bases: oneOf("uniform", "sparse", "verySparse"),
    projections: oneOf("stored", "regenerated"),
    initialization: oneOf("zeros", "normal"),
  }),
  road: all<RoadOptions>()({
    ...TARGETS,
    variant: oneOf(1, 2, 4),
    group: number,
    initialization: oneOf("identity", "none"),
  }),
  delora: all<DeloraOptions>()({
    ...TARGETS,
    ...{
      rank: count,
      lambda: factor,
      rankPattern: record(count),
      lambdaPattern: record(factor),
      dropout: number,
    },
    initialization: oneOf("zero", "copy", "none"),
  }),
  hira: all<HiraOptions>()({
    ...TARGETS,
    ...{ rank: count, rankPattern: record(count), dropout: number },
    initialization: oneOf("default", "gaussian", "none"),
  }),
  shira: all<ShiraOptions>()({
    ...TARGETS,
    ...{ rank: number, positionSeed: seed },
    initialization: oneOf("zeros", "normal"),
  }),
  gralora: all<GraloraOptions>()({
    ...TARGETS,
    ...{ rank: count, blocks: number, hybridRank: number, alpha: factor, dropout: number },
    initialization: oneOf("default", "none"),
  }),
  waveft: all<WaveFtOptions>()({
    ...TARGETS,
    ...{ frequencies: number, frequencyPattern: record(count), scale: factor, positionSeed: seed },
    allocation: oneOf("equal", "proportional"),
    wavelet: oneOf("db1", "db2", "db3", "coif1", "none"),
    initialization: oneOf("zeros", "normal"),
  }),
  intrinsicSaid: all<IntrinsicSaidOptions>()({
    dimension: number,
    parameters: places,
    scales: oneOf("each", "none"),
    seed,
    blocks: oneOf("tensor", "vector"),
  }),
  ia3: all<Ia3Options>()({ ...TARGETS, feedForward: list(text) }),
  bitfit: all<BitfitOptions>()({
    biases: oneOf("all", "queryAndUp"),
    missing: oneOf("add", "skip"),
    classifier: oneOf("whole", "bias"),
  }),
  beft: all<BeftOptions>()(TARGETS),
  layerNormTune: all<LayerNormTuneOptions>()({ norms: places }),
  topLayers: all<TopLayersOptions>()({
    blocks: number,
    stack: oneOf("encoder", "decoder"),
    above: TRAINED,
    tied: TRAINED,
  }),
  crossAttention: all<CrossAttentionOptions>()({ embeddings: TRAINED, start: oneOf("pretrained", "random") }),
  trainableTokens: all<TrainableTokensOptions>()({ tokens: any(list(number), record(list(number))) }),
  only: all<OnlyOptions>()({ parameters: places }),
  modulesToSave: all<ModulesToSaveOptions>()({ modules: list(text) }),
  houlsby: all<HoulsbyOptions>()({
    reduction: number,
    activation: ACTIVATION,
    after: AFTER,
    deviation: number,
  }),
  pfeiffer: all<PfeifferOptions>()({
    reduction: number,
    activation: ACTIVATION,
    reads: oneOf("normed", "output"),
  }),
  parallelAdapter: all<ParallelAdapterOptions>()({
    ...{ reduction: number, dropout: number, activation: ACTIVATION },
    scale: any(factor, oneOf("learned")),
    reads: oneOf("input", "residual"),
  }),
  bottleneckAdapter: all<BottleneckAdapterOptions>()({
    after: AFTER,
    reduction: any(number, PATTERN),
    activation: ACTIVATION,
    reads: oneOf("output", "normed", "residual"),
    keeps: oneOf("output", "normed", "sum"),
    norms: list(oneOf("before", "branch", "whole")),
    scale: any(factor, oneOf("learned", "channel")),
    residual: oneOf("added", "dropped"),
    dropout: number,
    branchDropout: number,
    phm: fields({ dimension: number, rank: any(number, oneOf("full")), rule: oneOf("shared", "own") }),
  }),
  fusedLora: all<FusedLoraOptions>()({ parts: PARTS, rank: number, alpha: factor, dropout: number }),
  fusedIa3: all<FusedIa3Options>()({ parts: PARTS }),
  phmAdapter: all<PhmAdapterOptions>()({
    ...{ reduction: number, dimension: number, activation: ACTIVATION, after: AFTER },
  }),
  compacter: all<CompacterOptions>()({
    ...{ reduction: number, dimension: number, rank: number, activation: ACTIVATION, after: AFTER },
    reads: oneOf("output", "normed"),
  }),
  kronaB: all<Omit<KronaBresOptions, "residual">>()(BESIDE),
  kronaBres: all<KronaBresOptions>()({ ...BESIDE, residual: number }),
  adamix: all<AdamixOptions>()({
    ...{ experts: number, reduction: number, activation: ACTIVATION },
    mixes: oneOf("down", "both"),
  }),
  invertibleAdapter: all<InvertibleAdapterOptions>()({
    reduction: number,
    activation: ACTIVATION,
    stands: oneOf("tokens", "entrance"),
    undone: oneOf("heads", "never"),
  }),
  prefixTuning: all<PrefixTuningOptions>()({
    length: number,
    network: any(
      oneOf("none"),
      fields<{ readonly hidden: number; readonly activation?: Activation }>({
        hidden: number,
        "activation?": ACTIVATION,
      }),
    ),
    dropout: number,
    positions: oneOf("past", "always", "none"),
    distances: oneOf("true", "pushed"),
    rows: oneOf("own", "peft"),
  }),
  promptTuning: all<PromptTuningOptions>()({ length: number, start: START, where: WHERE, madeBy: ENCODER }),
  pTuning: all<PTuningOptions>()({ length: number, where: WHERE, encoder: ENCODER }),
  multitaskPromptTuning: all<MultitaskPromptTuningOptions>()({
    ...{ length: number, rank: number, tasks: list(text), task: text },
    start: START,
    stacks: oneOf("reading", "both"),
  }),
  contextPromptTuning: all<ContextPromptTuningOptions>()({
    ...{ tokens: list(number), types: list(number) },
    ...{ epsilon: number, templateEpsilon: number, decay: number },
  }),
  llamaAdapter: all<LlamaAdapterOptions>()({
    length: number,
    layers: number,
    gates: oneOf("heads", "block"),
    squash: oneOf("tanh", "none"),
  }),
  loreft: all<LoreftOptions>()({
    ...{ rank: number, first: number, last: number, dropout: number, activation: ACTIVATION },
    ends: oneOf("tied", "apart"),
    rows: oneOf("orthonormal", "free"),
    subtracts: oneOf("projection", "nothing"),
    atMost: oneOf("half", "text"),
    stacks: oneOf("reading", "both"),
  }),
  s4: all<S4Options>()({
    budget: number,
    groups: list(number),
    parts: list(list(oneOf("adapter", "prefix", "bitfit", "lora"))),
  }),
  attentionFusion: all<AttentionFusionOptions>()({
    embedding: oneOf("included", "excluded"),
    scale: oneOf("none", "root"),
    query: oneOf("zero", "normal"),
  }),
  lets: all<LetsOptions>()({
    layers: list(number),
    deltas: oneOf("attention", "block"),
    pool: oneOf("first", "each"),
    search: number,
  }),
  ladderSideTuning: all<Omit<LadderSideTuningOptions, "start">>()({
    ...{ reduction: number, temperature: number },
    layers: list(number),
  }),
};
