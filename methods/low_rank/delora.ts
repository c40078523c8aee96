/**
 * DeLoRA. Bini, Girrbach and Akata 2025, "Decoupling Angles and Strength in Low-rank Adaptation", arXiv 2503.18225.
 *
 *   y = W x + b + (λ / r) B Ξ A (n ⊙ dropout(x))        Ξ = diag(1 / (‖b_i‖ ‖a_i‖))        A [r, in]   B [out, r]
 *
 * a_i is a row of A, b_i a column of B: each of the r terms has the norm λ / r whatever the values of the
 * factors, so that λ [1], also trained, bounds the update. n [in] are the norms of W's columns when the
 * adapter was created: the paper's ‖W‖, but per input as in the authors' code and PEFT. Norms under 1e-4
 * count as 1e-4.
 *
 * "zero" starts with B at zero, as in PEFT. "copy" starts as in the paper: both factors are random, and a
 * frozen copy of them subtracts their initial product. Either way the model is initially unchanged. Do not
 * apply weight decay to B and A.
 */
import {
  type Backend,
  byPattern,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  type Factors,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type LinearMap,
  madeLowRank,
  matrixAt,
  type MatrixPlace,
  paramsAt,
  scaledMap,
  sizesOf,
  sumOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { number, oneOf, option, probability, record } from "../../core/options/mod.ts";
import { add, divide, full, maximum, multiply, reshape, sqrt, sumOfSquares, zeros } from "../../ops/mod.ts";
import { rankPattern, rankSchema, TARGETS } from "../shared/target_options.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";

/** Options of DeLoRA. */
export interface DeloraOptions extends TargetOptions {
  /** r, default 8. */
  readonly rank?: number;
  /** Initial λ, default 15. */
  readonly lambda?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** Initial λ by pattern. */
  readonly lambdaPattern?: Readonly<Record<string, number>> | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** Initialization of the factors; "none" makes both random, for tests. Default "zero". */
  readonly initialization?: "zero" | "copy" | "none";
}

/** One layer's: a [r, in], b [out, r], lambda [1], frozen.norms [in], and with "copy" frozen.a, frozen.b and frozen.lambda. */
export type DeloraParams = DeloraFactors & {
  readonly frozen: { readonly norms: Tensor } & Partial<DeloraFactors>;
};

/** A product of factors with its bound. */
export type DeloraFactors = { readonly a: Tensor; readonly b: Tensor; readonly lambda: Tensor };

/**
 * DeLoRA as a method. Parameters under each layer's path: `a`, `b`, `lambda`, and the column norms `frozen.norms`.
 *
 * @throws {RangeError} when a rank is not a positive integer, λ is not a finite number, dropout not in [0,
 * 1), or targets match nothing.
 * @example
 * ```ts
 * import { delora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(delora({ rank: 16, lambda: 8, initialization: "copy" }).name, "delora");
 * ```
 */
export const delora: DefinedMethod<DeloraOptions> = defineMethod<DeloraOptions>({
  name: "delora",
  summary: "LoRA with factors of normalized terms, so that one trained number bounds the update.",
  facts: { parameters: "r (in + out) + 1", merges: "yes" },
  title: "DeLoRA",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, the rank of the update", 8),
    lambda: option(number, "where λ starts, which bounds how far a layer moves", 15),
    rankPattern,
    lambdaPattern: option(record(number), "λ by pattern of the layer's path; the first match applies"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
    initialization: option(
      oneOf("zero", "copy", "none"),
      "whether B starts at zero, both random with a frozen copy taken off, or random, for tests",
      "zero",
    ),
  },
  create: (options) => {
    return {
      init: ({ model, key }) =>
        freshParams(() =>
          freshTargets(model.spec, options).flatMap((place) => {
            const factors = freshFactors(place, options, fold(keyOf(key), place.path), model.backend);
            const norms = sqrt(sumOfSquares(matrixAt(model, place), { axis: 0 }));
            return Object.entries({
              ...factors,
              "frozen.norms": norms,
              ...options.initialization === "copy" && {
                "frozen.a": add(factors.a, 0),
                "frozen.b": add(factors.b, 0),
                "frozen.lambda": add(factors.lambda, 0),
              },
            }).map(([name, t]) => [`${place.path}.${name}`, t] as const);
          })
        ),
      edits: (params, spec) =>
        chooseTargets(spec, options).map(({ path }) => ({
          kind: "linear",
          path,
          change: {
            form: "add",
            map: updateOf(paramsAt(params, path) as DeloraParams),
            ...options.dropout && { dropout: options.dropout },
          },
        })),
    };
  },
  cli: { rate: 1e-2, flags: ["rank", "dropout", "targets"] },
  published: { setting: "r 8 on q and v" },
});

/**
 * r for a layer.
 *
 * @example
 * ```ts
 * import { deloraRank } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(deloraRank("model.layers.0.q_proj", { rank: 4, rankPattern: { "q_proj": 16 } }), 16);
 * ```
 */
export function deloraRank(path: string, options: DeloraOptions): number {
  return byPattern(options.rankPattern, path, options.rank ?? 8);
}

function updateOf({ frozen, ...factors }: DeloraParams): LinearMap {
  const { a, b, lambda } = frozen;
  const own = bounded(factors, frozen.norms);
  return a && b && lambda ? sumOf([own, scaledMap(bounded({ a, b, lambda }, frozen.norms), -1)]) : own;
}

/** (λ / r) B Ξ A diag(n). */
function bounded({ a, b, lambda }: DeloraFactors, norms: Tensor): LinearMap {
  const [rank, inFeatures, outFeatures] = [a.shape[0]!, a.shape[1]!, b.shape[0]!];
  const factors = (): Factors => {
    const lengths = multiply(lengthsOf(a, 1), lengthsOf(b, 0)); // [r]
    const shares = divide(multiply(lambda, 1 / rank), lengths); // [r]
    return { a: multiply(multiply(a, reshape(shares, [rank, 1])), norms), b };
  };
  return madeLowRank({ inFeatures, outFeatures, rank }, [a, b, lambda, norms], factors);
}

/** Norms along an axis, clamped to at least 1e-4, where the derivative is zero. */
function lengthsOf(t: Tensor, axis: 0 | 1): Tensor {
  return sqrt(maximum(sumOfSquares(t, { axis }), 1e-8));
}

function freshFactors(place: MatrixPlace, options: DeloraOptions, key: Key, backend: Backend): DeloraFactors {
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = deloraRank(place.path, options);
  const right = [outFeatures, r] as const;
  return {
    a: kaiming(key, "a", [r, inFeatures], backend),
    b: (options.initialization ?? "zero") === "zero"
      ? zeros(right, backend)
      : kaiming(key, "b", right, backend),
    lambda: full([1], byPattern(options.lambdaPattern, place.path, options.lambda ?? 15), backend),
  };
}
