/** Options that several adapters have. */
import { type DefaultedOption, list, oneOf, option, type OptionSchema } from "../../core/options/mod.ts";
import type { Activation } from "./bottleneck.ts";
import type { AdapterPosition } from "./define_hidden.ts";

/** A width divided by another, smaller one. */
export const reductionSchema: OptionSchema<number> = {
  what: "a number of at least 1",
  accepts: (value) => Number.isFinite(value) && value as number >= 1,
};

/** d / r. */
export const reductionOption = (usual: number): DefaultedOption<number> =>
  option(reductionSchema, "d / r, the width divided by that of the bottleneck", usual);

/** σ. */
export const activationSchema: OptionSchema<Activation> = oneOf(
  ...["relu", "gelu", "geluTanh", "silu", "tanh", "sigmoid", "leakyRelu", "none"] as const,
);

/** σ, with a default. */
export const activationOption = (usual: Activation): DefaultedOption<Activation> =>
  option(activationSchema, "σ, the non-linearity", usual);

/** After which parts of a block. */
export const afterOption = (
  ...usual: readonly AdapterPosition[]
): DefaultedOption<readonly AdapterPosition[]> =>
  option(
    list(oneOf("attention", "cross", "feedForward")) as OptionSchema<readonly AdapterPosition[]>,
    "after which parts of a block: attention, cross-attention, feed-forward",
    usual,
  );
