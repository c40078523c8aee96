/**
 * HiRA. Huang et al. 2025, "HiRA: Parameter-Efficient Hadamard High-Rank Adaptation for Large Language Models", ICLR 2025.
 *
 *   y = W x + b + (W ⊙ B A) dropout(x)        A [r, in]   B [out, r]
 *
 * The update may have up to r times the rank of W. A is uniform in ±1/√in (PEFT's "gaussian": N(0, 1/r²)), B
 * is zero, so the model is initially unchanged; on an embedding A is zero and B normal. W is the matrix so
 * far, dequantized if necessary.
 */
import {
  type Backend,
  byPattern,
  chooseTargets,
  fn,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type LinearChange,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { add, dropout, matmul, multiply, normal, zeros } from "../../ops/mod.ts";
import { atPlaces, freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkProbability, checkRanks } from "../shared/option_checks.ts";

/** Options of HiRA. */
export interface HiraOptions extends TargetOptions {
  /** r, default 32. */
  readonly rank?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** Initialization of A; "none" makes both factors normal, for tests. Default "default". */
  readonly initialization?: "default" | "gaussian" | "none";
}

/** One layer's factors: a [r, in], b [out, r]. */
export type HiraFactors = { readonly a: Tensor; readonly b: Tensor };

/**
 * HiRA as a method. Parameters: `a` and `b` under each layer's path. Embeddings can be targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { hira } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(hira({ rank: 16, dropout: 0.1 }).name, "hira");
 * ```
 */
export function hira(options: HiraOptions = {}): Method {
  checkRanks(options);
  checkProbability("dropout", options.dropout ?? 0);
  return {
    name: "hira",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        atPlaces(
          freshTargets(model.spec, options),
          (place) => freshFactors(place, options, fold(keyOf(key), place.path), model.backend),
        )
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map(({ path }) => ({
        kind: "linear",
        path,
        change: fused(paramsAt(params, path) as HiraFactors, options.dropout ?? 0),
      })),
  };
}

/**
 * r for a layer.
 *
 * @example
 * ```ts
 * import { hiraRank } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(hiraRank("model.layers.0.q_proj", { rank: 4, rankPattern: { "q_proj": 16 } }), 16);
 * ```
 */
export function hiraRank(path: string, options: HiraOptions): number {
  return byPattern(options.rankPattern, path, options.rank ?? 32);
}

function fused({ a, b }: HiraFactors, p: number): LinearChange {
  return {
    form: "delta",
    reads: "input",
    delta: fn({ a, b }, ({ a, b }, call) => {
      const x = call.train && call.key !== undefined && p > 0 ? dropout(call.x, p, call.key) : call.x;
      return matmul(x, multiply(call.weight(), matmul(b, a)), { transposeB: true });
    }),
    weight: fn({ a, b }, ({ a, b }, { weight }) => add(weight, multiply(weight, matmul(b, a)))),
  };
}

function freshFactors(place: MatrixPlace, options: HiraOptions, key: Key, backend: Backend): HiraFactors {
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = hiraRank(place.path, options);
  const gaussian = (name: string, shape: readonly [number, number], deviation?: number): Tensor =>
    normal(fold(key, name), shape, backend, deviation);
  const [a, b] = [[r, inFeatures], [outFeatures, r]] as const;
  if (options.initialization === "none") return { a: gaussian("a", a), b: gaussian("b", b) };
  if (place.kind === "embedding") return { a: zeros(a, backend), b: gaussian("b", b) };
  const start = options.initialization === "gaussian"
    ? gaussian("a", a, 1 / r)
    : kaiming(key, "a", a, backend);
  return { a: start, b: zeros(b, backend) };
}
