/**
 * KronA_B and KronA_Bres. Edalati et al. 2022, "KronA: Parameter Efficient Tuning with Kronecker Adapter", arXiv 2212.10650.
 *
 *   KronA_B      h ← h + s ((A ⊗ B) x + b)                   h = FFN(x)   A [o1, i1]   B [o2, i2]   o1 o2 = i1 i2 = d
 *   KronA_Bres   h ← h + s ((A ⊗ B) x + b) + s_res x         s_res a trained number
 *
 * A module parallel to the feed-forward part, without a non-linearity. No official code is public;
 * unspecified details are options: which factor is zero initially, s, whether there is a bias, and the
 * initial s_res. It is 0 here, so that the model is initially unchanged; a third party's code uses 1.
 */
import {
  type DefinedMethod,
  dense,
  fold,
  kronecker,
  type SublayerPlace,
  type Tensor,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  type Filled,
  number,
  oneOf,
  option,
  type OptionsOf,
  pair,
} from "../../core/options/mod.ts";
import { add, full, multiply, normal, zeros } from "../../ops/mod.ts";
import { layerNormTune } from "../selective/layer_norm_tune.ts";
import { defineHidden, type Drawing, type HiddenSpec } from "../shared/define_hidden.ts";
import { kaiming } from "../shared/initial_factors.ts";
import { kronaShapes } from "../structured/krona.ts";

/** Options of KronA_B: those of KronA, except its place. */
export interface KronaBOptions {
  /** s, default 1. The paper tunes it. */
  readonly scale?: number;
  /** Shape of A [o1, i1], which must divide [d, d]; default: the fewest parameters, then the highest rank. */
  readonly firstFactor?: readonly [outFeatures: number, inFeatures: number] | undefined;
  /** Which factor is zero initially. Default "b". */
  readonly zero?: "a" | "b";
  /** Initialization of the other: uniform in ±1/√i1 ("kaiming", default) or N(0, 1/i1) ("normal"). */
  readonly initialization?: "kaiming" | "normal";
  /** Whether there is a bias b [d], zero initially. Default "one". */
  readonly bias?: "one" | "none";
}

/** Options of KronA_Bres. */
export interface KronaBresOptions extends KronaBOptions {
  /** Initial s_res, default 0. */
  readonly residual?: number;
}

type Beside = {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor;
};
type BesideWithInput = Beside & { readonly residual: Tensor };

const options: OptionsOf<KronaBOptions> = {
  scale: option(number, "s, by which the module is multiplied", 1),
  firstFactor: option(pair(bounded(count, "width")), "the shape of A; by default the fewest parameters"),
  zero: option(oneOf("a", "b"), "which factor is zero initially", "b"),
  initialization: option(oneOf("kaiming", "normal"), "how the other one starts", "kaiming"),
  bias: option(oneOf("one", "none"), "whether there is a bias, zero initially", "one"),
};

const factors = (
  place: SublayerPlace,
  { zero, initialization, bias, firstFactor }: Filled<KronaBOptions>,
  { key, backend }: Drawing,
) => {
  const shapes = kronaShapes(square(place), { ...firstFactor && { firstFactor } });
  const start = (which: "a" | "b"): Tensor =>
    which === zero
      ? zeros(shapes[which], backend)
      : initialization === "normal"
      ? normal(fold(key, which), shapes[which], backend, 1 / Math.sqrt(shapes[which][1]))
      : kaiming(key, which, shapes[which], backend);
  return { a: start("a"), b: start("b"), ...bias === "one" && { bias: zeros([place.width], backend) } };
};

const branch = ({ a, b, bias }: Beside, x: Tensor, scale: number): Tensor => {
  const mapped = kronecker(dense(a), dense(b), 1).apply(x); // [b, t, d]
  return multiply(bias === undefined ? mapped : add(mapped, bias), scale);
};

const known: Pick<HiddenSpec<KronaBOptions, Beside>, "cli" | "published"> = {
  cli: { rate: 1e-3, flags: [] },
  published: { setting: "beside feed-forward, and norms", beside: layerNormTune },
};

/**
 * KronA_B as a method. Parameters under the feed-forward part's path: `a` [o1, i1], `b` [o2, i2] and `bias` [d].
 *
 * @throws {RangeError} when the scale is 0 or not finite, `firstFactor` does not divide [d, d], or the model has no feed-forward
 * part.
 * @example
 * ```ts
 * import { kronaB } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(kronaB({ firstFactor: [32, 24] }).name, "krona-b");
 * ```
 */
export const kronaB: DefinedMethod<KronaBOptions> = defineHidden<KronaBOptions, Beside>({
  name: "krona-b",
  summary: "Bottleneck adapters of which each matrix is one Kronecker product.",
  facts: { parameters: "a1 a2 + b1 b2 + d" },
  title: "KronA_B",
  options,
  params: factors,
  reads: () => "input",
  delta: (own, { x }, { scale }) => branch(own, x, scale),
  ...known,
});

/**
 * KronA_Bres as a method: KronA_B's parameters and `residual` [1] for each layer.
 *
 * @throws {RangeError} as `kronaB`, or when `residual` is not finite.
 * @example
 * ```ts
 * import { kronaBres } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(kronaBres({ residual: 1 }).name, "krona-bres");
 * ```
 */
export const kronaBres: DefinedMethod<KronaBresOptions> = defineHidden<KronaBresOptions, BesideWithInput>({
  name: "krona-bres",
  summary: "KronA's adapter with a trained residual connection.",
  facts: { parameters: "a1 a2 + b1 b2 + d + 1" },
  title: "KronA_Bres",
  options: { ...options, residual: option(number, "the initial s_res, the factor of the input", 0) },
  params: (place, { residual, ...options }, from) => ({
    ...factors(place, options, from),
    residual: full([1], residual, from.backend),
  }),
  reads: () => "input",
  delta: ({ residual, ...own }, { x }, { scale }) => add(branch(own, x, scale), multiply(x, residual)),
  ...known,
  survey: {
    kinds: "AR",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra linear layer",
    trainable: "0.07",
    changed: "~0.07 or ~1.0",
    differs:
      "the article calls the Kronecker form beside the layers a reparametrisation; whether its 0.07 % has biases is not known",
  },
});

/** The module as a linear layer d → d. */
const square = ({ path, stack, width }: SublayerPlace) => ({
  kind: "linear" as const,
  path,
  stack,
  role: "other" as const,
  inFeatures: width,
  outFeatures: width,
  transposed: false,
  bias: false,
});
