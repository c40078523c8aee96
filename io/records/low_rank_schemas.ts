/** Option schemas of low-rank and related methods. */
import type {
  AdaloraOptions,
  DeftOptions,
  DeloraOptions,
  DoraOptions,
  GloraOptions,
  GraloraOptions,
  HiraOptions,
  KronaOptions,
  LilyOptions,
  LoftqOptions,
  LohaOptions,
  LokrOptions,
  LoraOptions,
  LoraPlusOptions,
  OsfOptions,
  PeanutOptions,
  PolyOptions,
  PveraOptions,
  RandLoraOptions,
  ShiraOptions,
  TinyLoraOptions,
  UniLoraOptions,
  VbLoraOptions,
  VeraOptions,
} from "../../methods/mod.ts";
import { ACTIVATION, CODED, KRONA, LORA, LORA_SCHEMAS, PATTERN, TARGETS, UPDATE } from "./common_schemas.ts";
import {
  all,
  any,
  count,
  factor,
  list,
  number,
  oneOf,
  type OptionSchemas,
  record,
  seed,
  text,
} from "../../core/options/option_schemas.ts";

/** Names of their factories. */
export type LowRankMethod =
  | "lora"
  | "dora"
  | "loraPlus"
  | "loftq"
  | "adalora"
  | "loha"
  | "lokr"
  | "krona"
  | "vera"
  | "pvera"
  | "lily"
  | "poly"
  | "glora"
  | "osf"
  | "randlora"
  | "tinyLora"
  | "uniLora"
  | "vbLora"
  | "deft"
  | "peanut"
  | "delora"
  | "hira"
  | "shira"
  | "gralora";

/** Option schemas by factory. */
export const LOW_RANK: Readonly<Record<LowRankMethod, OptionSchemas>> = {
  lora: all<LoraOptions>()(LORA),
  dora: all<DoraOptions>()({ ...LORA, decomposition: oneOf("paper", "adapterHub") }),
  loraPlus: all<LoraPlusOptions>()({ ...LORA, ratio: number, embeddingRate: number }),
  loftq: all<Omit<LoftqOptions, "key">>()({
    ...LORA_SCHEMAS,
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
    ...{
      rank: number,
      alpha: number,
      projectionSeed: seed,
      initialD: number,
      initialB: number,
      dropout: number,
    },
    projections: oneOf("stored", "regenerated"),
  }),
  pvera: all<PveraOptions>()({
    ...TARGETS,
    ...{ rank: count, projectionSeed: seed, initialD: number, dropout: number },
    projections: oneOf("stored", "regenerated"),
  }),
  lily: all<LilyOptions>()({
    ...TARGETS,
    ...{ rank: count, stride: count, experts: count, scale: factor },
    sharing: any(oneOf("modules", "all"), list(text)),
    mean: oneOf("text", "batch"),
    initialization: oneOf("zero", "none"),
  }),
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
  randlora: all<RandLoraOptions>()({
    ...TARGETS,
    ...{ rank: number, alpha: factor, projectionSeed: seed, dropout: number },
    bases: oneOf("uniform", "sparse", "verySparse"),
    projections: oneOf("stored", "regenerated"),
    initialization: oneOf("zeros", "normal"),
  }),
  tinyLora: all<Omit<TinyLoraOptions, "directions">>()({
    ...TARGETS,
    ...{ rank: count, dimension: count, tying: number, projectionSeed: seed, dropout: number },
    singularValues: oneOf("left", "split"),
    projections: oneOf("stored", "regenerated"),
    initialization: oneOf("zeros", "uniform"),
  }),
  uniLora: all<UniLoraOptions>()({
    ...TARGETS,
    ...{ rank: count, dimension: count, projectionSeed: seed, bound: number, dropout: number },
    assignment: oneOf("uniform", "balanced"),
    initialization: oneOf("uniform", "normal"),
  }),
  vbLora: all<VbLoraOptions>()({
    ...TARGETS,
    ...{ rank: count, vectors: count, length: count, topK: count },
    ...{ bankBound: number, deviation: number, dropout: number },
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
};
