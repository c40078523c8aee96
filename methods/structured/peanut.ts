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
import {
  chooseTargets,
  fn,
  fold,
  freshTargets,
  key as keyOf,
  type LinearCall,
  type LinearChange,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
  type WeightCall,
} from "../../core/mod.ts";
import { add, matmul, multiply, zeros } from "../../ops/mod.ts";
import { type Activation, activation } from "../shared/bottleneck.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkFinite, checkPositive } from "../shared/option_checks.ts";

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

/** One layer's network. `encoders` and `decoders` hold `0`, `1`, …; absent without depth. */
type Tweaker = {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly encoders?: Readonly<Record<string, Tensor>>;
  readonly decoders?: Readonly<Record<string, Tensor>>;
};

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
export function peanut(options: PeanutOptions = {}): Method {
  const { rank: r = 32, depth = 0, scale = 1 } = options;
  checkPositive("rank", r);
  if (!Number.isInteger(depth) || depth < 0) {
    throw new RangeError(`Expected depth to be an integer of 0 or more but found ${depth}`);
  }
  checkFinite("scale", scale);
  return {
    name: "peanut",
    config: { ...options },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() =>
        freshTargets(spec, options).flatMap((place) => {
          checkNotEmbedding("peanut", place);
          const { outFeatures } = sizesOf(place);
          const seed = fold(keyOf(key), place.path);
          const inner = ["encoders", "decoders"].flatMap((side) =>
            Array.from({ length: depth }, (_, i) => `${side}.${i}`)
          );
          return [
            [`${place.path}.a`, kaiming(seed, "a", [r, outFeatures], backend)] as const,
            [
              `${place.path}.b`,
              options.initialization === "none"
                ? kaiming(seed, "b", [outFeatures, r], backend)
                : zeros([outFeatures, r], backend),
            ] as const,
            ...inner.map((name) => [`${place.path}.${name}`, kaiming(seed, name, [r, r], backend)] as const),
          ];
        })
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map(({ path }) => ({
        kind: "linear",
        path,
        change: change(paramsAt(params, path) as Tweaker, options),
      })),
  };
}

function change(tweaker: Tweaker, { scale: s = 1, activation: name = "relu" }: PeanutOptions): LinearChange {
  const σ = activation(name);
  return {
    form: "delta",
    reads: "input",
    delta: fn(tweaker, (tweaker, call: LinearCall) => {
      const inner = matmul(call.x, read(tweaker, call.weight(), σ)); // [.., r]
      return multiply(matmul(inner, tweaker.b, { transposeB: true }), s);
    }),
    weight: fn(
      tweaker,
      (tweaker, { weight }: WeightCall) =>
        add(weight, multiply(matmul(tweaker.b, read(tweaker, weight, σ), { transposeB: true }), s)),
    ),
  };
}

/** H [in, r] of a weight [out, in]. */
function read(
  { a, encoders = {}, decoders = {} }: Tweaker,
  weight: Tensor,
  σ: (x: Tensor) => Tensor,
): Tensor {
  const depth = Object.keys(encoders).length;
  const through = (h: Tensor, layer: Tensor): Tensor => σ(matmul(h, layer, { transposeB: true }));
  let h = σ(matmul(weight, a, { transposeA: true, transposeB: true }));
  const skips: Tensor[] = [];
  for (let i = 0; i < depth; i++) {
    skips.push(h);
    h = through(h, encoders[i]!);
  }
  for (let i = 0; i < depth; i++) h = add(through(h, decoders[i]!), skips[depth - 1 - i]!);
  return h;
}
