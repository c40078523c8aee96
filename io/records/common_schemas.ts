/** OptionSchemas of options that several methods share. */
import type {
  Activation,
  AdapterPosition,
  FusedIa3Options,
  KronaBresOptions,
  KronaOptions,
  LoftqOptions,
  LohaOptions,
  LoraOptions,
  OftOptions,
  PromptTuningOptions,
  PsoftOptions,
  PTuningOptions,
  TopLayersOptions,
} from "../../methods/mod.ts";
import {
  any,
  count,
  factor,
  fields,
  flag,
  list,
  number,
  oneOf,
  type OptionSchema,
  type OptionSchemasOf,
  pair,
  places,
  record,
} from "./option_schemas.ts";

type Targeted = Pick<LoraOptions, "targets" | "exclude" | "layers">;
/** Where a method goes. */
export const TARGETS: OptionSchemasOf<Targeted> = {
  // A predicate is no JSON.
  targets: any(oneOf("all-linear"), places) as OptionSchema<NonNullable<Targeted["targets"]>>,
  exclude: places,
  layers: list(number),
};
/** Numbers by pattern of a path. */
export const PATTERN: OptionSchema<Readonly<Record<string, number>>> = record(number);
/** PSOFT's, but for its subspaces, which are tensors. */
export const PSOFT_OPTIONS: OptionSchemasOf<Omit<PsoftOptions, "subspace">> = {
  rotation: any(oneOf("exact", "free"), fields<{ readonly terms: number }>({ terms: count })),
  vectors: oneOf("both", "before", "after", "none"),
  dropout: number,
};
/** Of updates of a rank. */
export const SCALED: OptionSchemasOf<Pick<LoraOptions, "rank" | "alpha" | "rankPattern" | "alphaPattern">> = {
  rank: count,
  alpha: factor,
  rankPattern: record(count),
  alphaPattern: record(factor),
};
/** LoRA's, without how it starts. */
export const LORA_SCHEMAS: OptionSchemasOf<Omit<LoraOptions, "initialization">> = {
  ...TARGETS,
  ...SCALED,
  scaling: oneOf("standard", "rankStabilized"),
  dropout: number,
  bias: oneOf("none", "adapted", "all"),
  branchBias: flag,
};
/** LoRA's. */
export const LORA: OptionSchemasOf<LoraOptions> = {
  ...LORA_SCHEMAS,
  initialization: oneOf("default", "gaussian", "orthogonal", "none"),
};
/** LoHa's and LoKr's. */
export const UPDATE: OptionSchemasOf<Omit<LohaOptions, keyof Targeted>> = {
  ...SCALED,
  rowDropout: number,
  rowDropoutScaling: oneOf("none", "kept"),
  moduleDropout: number,
  initialization: oneOf("peft", "lycoris", "none"),
};
/** σ. */
export const ACTIVATION: OptionSchema<Activation> = oneOf(
  ...["relu", "gelu", "geluTanh", "silu", "tanh", "sigmoid", "leakyRelu", "none"] as const,
);
/** Parts of a block. */
export const AFTER: OptionSchema<readonly AdapterPosition[]> = list(
  oneOf("attention", "cross", "feedForward"),
);
/** Sizes of rotations. */
export const BLOCKS: OptionSchema<NonNullable<OftOptions["blocks"]>> = any(
  fields({ size: number }),
  fields({ count: number }),
) as OptionSchema<NonNullable<OftOptions["blocks"]>>;
/** Of a fused projection. */
export const PARTS: OptionSchema<NonNullable<FusedIa3Options["parts"]>> = list(
  oneOf("query", "key", "value"),
);
/** Of a Kronecker product. */
export const KRONA: OptionSchemasOf<Pick<KronaOptions, "scale" | "firstFactor" | "zero" | "initialization">> =
  {
    scale: factor,
    firstFactor: pair(number) as OptionSchema<NonNullable<KronaOptions["firstFactor"]>>,
    zero: oneOf("a", "b"),
    initialization: oneOf("kaiming", "normal"),
  };
/** Of one beside a feed-forward part. */
export const BESIDE: OptionSchemasOf<Omit<KronaBresOptions, "residual">> = {
  ...KRONA,
  bias: oneOf("one", "none"),
};
/** Where a prompt stands. */
export const WHERE: OptionSchema<NonNullable<PromptTuningOptions["where"]>> = any(
  oneOf("front", "entered", "afterFirst"),
  fields<{ readonly token: number }>({ token: number }),
);
/** What makes a prompt. */
export const ENCODER: OptionSchema<NonNullable<PTuningOptions["encoder"]>> = any(
  fields({ kind: oneOf("lstm"), "hidden?": number, "inner?": number, "layers?": number, "dropout?": number }),
  fields({ kind: oneOf("mlp"), "hidden?": list(number) }),
) as OptionSchema<NonNullable<PTuningOptions["encoder"]>>;
/** How a prompt starts. */
export const START: OptionSchema<NonNullable<PromptTuningOptions["start"]>> = any(
  fields({ from: oneOf("uniform"), "low?": number, "high?": number }),
  fields({ from: oneOf("vocabulary"), "tokens?": number }),
  fields({ from: oneOf("tokens"), rows: list(list(number)), "rest?": oneOf("sampled", "repeated") }),
) as OptionSchema<NonNullable<PromptTuningOptions["start"]>>;
/** Of a quantized base. */
export const CODED: OptionSchema<NonNullable<LoftqOptions["dtype"]>> = oneOf(
  ...["nf4", "nf4_double", "fp4", "fp4_double", "int4", "e2m1", "e3m0", "int8"],
) as OptionSchema<NonNullable<LoftqOptions["dtype"]>>;
/** Whether a part trains. */
export const TRAINED: OptionSchema<NonNullable<TopLayersOptions["above"]>> = oneOf("trained", "frozen");
