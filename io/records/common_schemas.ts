/** Schemas of options that several methods share. */
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
} from "../../core/options/option_schemas.ts";

type Targeted = Pick<LoraOptions, "targets" | "exclude" | "layers">;
/** The places of a method. */
export const TARGETS: OptionSchemasOf<Targeted> = {
  // A predicate cannot be JSON.
  targets: any(oneOf("all-linear"), places) as OptionSchema<NonNullable<Targeted["targets"]>>,
  exclude: places,
  layers: list(number),
};
/** Values by path pattern. */
export const PATTERN: OptionSchema<Readonly<Record<string, number>>> = record(number);
/** PSOFT's options, except its subspaces, which are tensors. */
export const PSOFT_OPTIONS: OptionSchemasOf<Omit<PsoftOptions, "subspace">> = {
  rotation: any(oneOf("exact", "free"), fields<{ readonly terms: number }>({ terms: count })),
  vectors: oneOf("both", "before", "after", "none"),
  dropout: number,
};
/** Options of low-rank updates. */
export const SCALED: OptionSchemasOf<Pick<LoraOptions, "rank" | "alpha" | "rankPattern" | "alphaPattern">> = {
  rank: count,
  alpha: factor,
  rankPattern: record(count),
  alphaPattern: record(factor),
};
/** LoRA's options, without the initialization. */
export const LORA_SCHEMAS: OptionSchemasOf<Omit<LoraOptions, "initialization">> = {
  ...TARGETS,
  ...SCALED,
  scaling: oneOf("standard", "rankStabilized"),
  dropout: number,
  bias: oneOf("none", "adapted", "all"),
  branchBias: flag,
};
/** LoRA's options. */
export const LORA: OptionSchemasOf<LoraOptions> = {
  ...LORA_SCHEMAS,
  initialization: oneOf("default", "gaussian", "orthogonal", "none"),
};
/** Options of LoHa and LoKr. */
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
/** Parts of a fused projection. */
export const PARTS: OptionSchema<NonNullable<FusedIa3Options["parts"]>> = list(
  oneOf("query", "key", "value"),
);
/** Options of a Kronecker product. */
export const KRONA: OptionSchemasOf<Pick<KronaOptions, "scale" | "firstFactor" | "zero" | "initialization">> =
  {
    scale: factor,
    firstFactor: pair(number) as OptionSchema<NonNullable<KronaOptions["firstFactor"]>>,
    zero: oneOf("a", "b"),
    initialization: oneOf("kaiming", "normal"),
  };
/** Options of one parallel to a feed-forward part. */
export const BESIDE: OptionSchemasOf<Omit<KronaBresOptions, "residual">> = {
  ...KRONA,
  bias: oneOf("one", "none"),
};
/** The position of a prompt. */
export const WHERE: OptionSchema<NonNullable<PromptTuningOptions["where"]>> = any(
  oneOf("front", "entered", "afterFirst"),
  fields<{ readonly token: number }>({ token: number }),
);
/** The encoder of a prompt. */
export const ENCODER: OptionSchema<NonNullable<PTuningOptions["encoder"]>> = any(
  fields({ kind: oneOf("lstm"), "hidden?": number, "inner?": number, "layers?": number, "dropout?": number }),
  fields({ kind: oneOf("mlp"), "hidden?": list(number) }),
) as OptionSchema<NonNullable<PTuningOptions["encoder"]>>;
/** The initialization of a prompt. */
export const START: OptionSchema<NonNullable<PromptTuningOptions["start"]>> = any(
  fields({ from: oneOf("uniform"), "low?": number, "high?": number }),
  fields({ from: oneOf("vocabulary"), "tokens?": number }),
  fields({ from: oneOf("tokens"), rows: list(list(number)), "rest?": oneOf("sampled", "repeated") }),
) as OptionSchema<NonNullable<PromptTuningOptions["start"]>>;
/** Dtypes of a quantized base. */
export const CODED: OptionSchema<NonNullable<LoftqOptions["dtype"]>> = oneOf(
  ...["nf4", "nf4_double", "fp4", "fp4_double", "int4", "e2m1", "e3m0", "int8"],
) as OptionSchema<NonNullable<LoftqOptions["dtype"]>>;
/** Whether a part is trained. */
export const TRAINED: OptionSchema<NonNullable<TopLayersOptions["above"]>> = oneOf("trained", "frozen");
