/**
 * KronA. Edalati et al. 2022, "KronA: Parameter Efficient Tuning with Kronecker Adapter", arXiv 2212.10650.
 *
 *   y = W x + b + s (A ⊗ B) x        A [o1, i1]   B [o2, i2]   o1 o2 = out   i1 i2 = in
 *
 * No factor is split, so the update has rank(A) · rank(B), which can be full. By default the factors have as
 * few parameters as possible, 2 √(in out) where the sizes allow it (as many as LoRA of rank 1 on a square
 * matrix), and among those the highest possible rank. One factor is zero initially. No official code is
 * public: which one, and s, are options.
 */
import {
  type DefinedMethod,
  dense,
  kronecker,
  type MatrixPlace,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, number, oneOf, option, pair, probability } from "../../core/options/mod.ts";
import { layerNormTune } from "../selective/layer_norm_tune.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { type Initial, kaiming, normal, zeros } from "../shared/initial.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of KronA. */
export interface KronaOptions extends TargetOptions {
  /** s, default 1. The paper tunes it. */
  readonly scale?: number;
  /**
   * Shape of A [o1, i1], which must divide [out, in]; default: the fewest parameters, then the highest rank.
   */
  readonly firstFactor?: readonly [outFeatures: number, inFeatures: number] | undefined;
  /** Which factor is zero initially. Default "b". */
  readonly zero?: "a" | "b";
  /** Initialization of the other: uniform in ±1/√i1 ("kaiming", default) or N(0, 1/i1) ("normal"). */
  readonly initialization?: "kaiming" | "normal";
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
}

/** One layer's factors: a [o1, i1], b [o2, i2]. */
export type KronaFactors = { readonly a: Tensor; readonly b: Tensor };

/**
 * KronA as a method. Parameters are stored under their layer's path: `….q_proj.a`, `b`.
 *
 * @throws {RangeError} when `firstFactor` does not divide a layer, dropout is not in [0, 1), or targets match nothing.
 * @example
 * ```ts
 * import { krona } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(krona({ scale: 2, firstFactor: [32, 24] }).name, "krona");
 * ```
 */
export const krona: DefinedMethod<KronaOptions> = defineLinear<KronaOptions, KronaFactors>({
  name: "krona",
  summary: "Adds a Kronecker product of two trained matrices to each weight.",
  facts: { parameters: "o1 i1 + o2 i2", merges: "yes" },
  title: "KronA",
  options: {
    scale: option(number, "s, by which the update is multiplied", 1),
    firstFactor: option(pair(bounded(count, "width")), "the shape of A; by default the fewest parameters"),
    zero: option(oneOf("a", "b"), "which factor is zero initially", "b"),
    initialization: option(oneOf("kaiming", "normal"), "how the other one starts", "kaiming"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
  },
  params: (layer, options) => {
    const { a, b } = kronaShapes(layer, options);
    const drawn = (shape: readonly [number, number]): Initial =>
      options.initialization === "normal" ? normal(shape, 1 / Math.sqrt(shape[1])) : kaiming(shape);
    return options.zero === "a" ? { a: zeros(a), b: drawn(b) } : { a: drawn(a), b: zeros(b) };
  },
  map: ({ a, b }, { scale }) => kronecker(dense(a), dense(b), scale),
  cli: { rate: 1e-3, flags: ["dropout", "targets"] },
  // The paper trains every norm as well, and counts them.
  survey: {
    kinds: "R",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "No overhead",
    trainable: "0.07",
    changed: "~0.07 or ~30.0",
    differs:
      "percent changed is that of the matrices of this model's query and value layers; 0.07 % trainable is T5-base with its norms",
  },
  published: { setting: "q and v, and norms", beside: layerNormTune },
});

/**
 * Shapes of A and B for a layer.
 *
 * @throws {RangeError} when the given shape of A does not divide the layer's.
 * @example
 * ```ts
 * import { freshModel, kronaShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * // Of [16, 16]
 * assert.deepEqual(kronaShapes(spec.linears[0]!, { firstFactor: [2, 4] }), { a: [2, 4], b: [8, 4] });
 * ```
 */
export function kronaShapes(
  place: MatrixPlace,
  options: Pick<KronaOptions, "firstFactor">,
): { readonly a: readonly [number, number]; readonly b: readonly [number, number] } {
  const { inFeatures, outFeatures } = sizesOf(place);
  const [o1, i1] = options.firstFactor ?? fewest(outFeatures, inFeatures);
  if (outFeatures % o1 !== 0 || inFeatures % i1 !== 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot split "${place.path}" [${outFeatures}, ${inFeatures}] by a first factor [${o1}, ${i1}]: it does not divide`,
    );
  }
  return { a: [o1, i1], b: [outFeatures / o1, inFeatures / i1] };
}

/**
 * The shape of A for which A and B have the fewest parameters; on ties the highest rank of A ⊗ B, then the
 * squarest A.
 */
function fewest(out: number, input: number): readonly [number, number] {
  const divisors = (n: number): readonly number[] =>
    Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
  let best: { readonly shape: readonly [number, number]; readonly score: readonly number[] } | undefined;
  const [outs, ins] = [divisors(out), divisors(input)];
  for (const o of outs) {
    for (const i of ins) {
      const numbers = o * i + (out / o) * (input / i);
      const rank = Math.min(o, i) * Math.min(out / o, input / i);
      const score = [numbers, -rank, Math.abs(o - i)];
      if (best === undefined || precedes(score, best.score)) best = { shape: [o, i], score };
    }
  }
  return best!.shape;
}

function precedes(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((n, i) => n !== b[i]);
  return at >= 0 && a[at]! < b[at]!;
}
