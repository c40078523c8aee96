/**
 * PEANuT. Zhong et al. 2024, "PEANuT: Parameter-Efficient Adaptation with Weight-aware Neural Tweakers", arXiv 2410.01870.
 *
 *   y = W x + b + s B Hᵀ x        H = σ(Wᵀ Aᵀ) [in, r]        A [r, out]   B [out, r]
 *
 * A small network computes the update of a weight from the weight itself. Deeper ones pass H through n
 * encoders E_i [r, r] and n matching decoders D_i [r, r]: H ← σ(H E_iᵀ), then H ← σ(H D_iᵀ) + the input of
 * the matching E_i. B starts at zero: the model is initially unchanged. A pass never builds the update's
 * matrix [out, in].
 */
import type { DefinedMethod, TargetOptions, Tensor } from "../../core/mod.ts";
import { bounded, number, oneOf, option, seed as natural } from "../../core/options/mod.ts";
import { add, matmul, multiply } from "../../ops/mod.ts";
import { type Activation, activation } from "../shared/bottleneck.ts";
import { defineLinear, type LayerParams } from "../shared/define_linear.ts";
import { type Initial, kaiming, zeros } from "../shared/initial.ts";
import { rankSchema } from "../shared/target_options.ts";

/** Options of PEANuT. */
export interface PeanutOptions extends TargetOptions {
  /** r, default 32. */
  readonly rank?: number;
  /** n, default 0. */
  readonly depth?: number;
  /** σ, default "relu". */
  readonly activation?: Activation;
  /** s, default 1. */
  readonly scale?: number;
  /** B at zero ("zero", default), or random ("none", for tests). */
  readonly initialization?: "zero" | "none";
}

/**
 * PEANuT as a method. Parameters under each layer's path: `a` [r, out], `b` [out, r], and `encoders.i`, `decoders.i` [r, r].
 *
 * @throws {RangeError} when the rank is not a positive integer, the depth is not a natural number, the scale
 * not finite, a target is an embedding, or targets match nothing.
 * @example
 * ```ts
 * import { peanut } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(peanut({ rank: 4, depth: 2, activation: "silu" }).name, "peanut");
 * ```
 */
export const peanut: DefinedMethod<PeanutOptions> = defineLinear<PeanutOptions>({
  name: "peanut",
  summary: "Computes each weight's update from the weight itself by a small network.",
  facts: { parameters: "2 r out + 2 n r²", merges: "yes, but not out again" },
  title: "PEANuT",
  options: {
    rank: option(rankSchema, "r, the width of the network", 32),
    depth: option(bounded(natural, "depth"), "n, how many encoders, each with a decoder", 0),
    activation: option(
      oneOf("relu", "gelu", "geluTanh", "silu", "tanh", "sigmoid", "leakyRelu", "none"),
      "σ, the non-linearity",
      "relu",
    ),
    scale: option(number, "s, by which the update is multiplied", 1),
    initialization: option(oneOf("zero", "none"), "B at zero, or random for tests", "zero"),
  },
  embeddings: false,
  params: ({ outFeatures }, { rank: r, depth, initialization }) => {
    const inner = (side: string): Readonly<Record<string, Initial>> =>
      Object.fromEntries(Array.from({ length: depth }, (_, i) => [`${side}.${i}`, kaiming([r, r])]));
    return {
      a: kaiming([r, outFeatures]),
      b: initialization === "none" ? kaiming([outFeatures, r]) : zeros([outFeatures, r]),
      ...inner("encoders"),
      ...inner("decoders"),
    };
  },
  delta: (own, { x, weight }, options) =>
    multiply(matmul(matmul(x, read(own, weight(), options)), own["b"]!, { transposeB: true }), options.scale),
  weight: (own, { weight }, options) =>
    add(
      weight,
      multiply(matmul(own["b"]!, read(own, weight, options), { transposeB: true }), options.scale),
    ),
  cli: { rate: 5e-4, flags: ["rank", "targets"] },
  published: { setting: "r 8 on q and v", options: () => ({ rank: 8 }) },
});

/** H [in, r] of a weight [out, in]. */
function read(
  own: LayerParams,
  weight: Tensor,
  { depth, activation: name }: Required<Pick<PeanutOptions, "depth" | "activation">>,
): Tensor {
  const σ = activation(name);
  const through = (h: Tensor, layer: Tensor): Tensor => σ(matmul(h, layer, { transposeB: true }));
  let h = σ(matmul(weight, own["a"]!, { transposeA: true, transposeB: true }));
  const skips: Tensor[] = [];
  for (let i = 0; i < depth; i++) {
    skips.push(h);
    h = through(h, own[`encoders.${i}`]!);
  }
  for (let i = 0; i < depth; i++) h = add(through(h, own[`decoders.${i}`]!), skips[depth - 1 - i]!);
  return h;
}
