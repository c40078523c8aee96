/**
 * LoHa. Hyeon-Woo et al. 2021, "FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning",
 * arXiv 2108.06098; as an adapter in LyCORIS, Yeh et al. 2023, arXiv 2309.14859.
 *
 *   y = W x + b + s ((A1 B1) ⊙ (A2 B2)) x        A [out, r]   B [r, in]   s = α/r        the update's rank is up to r²
 *
 * One factor is zero initially, so the model is unchanged; which one depends on the library. PEFT: uniform in
 * ±1/√columns, B2 zero. LyCORIS: B1 and B2 of N(0, 1), A1 of N(0, 0.01), A2 zero.
 */
import {
  type Backend,
  byPattern,
  chooseTargets,
  fold,
  freshTargets,
  hadamardLowRank,
  type Key,
  key as keyOf,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { normal, zeros } from "../../ops/mod.ts";
import { atPlaces, freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkRanks } from "../shared/option_checks.ts";
import { addUpdate, checkUpdateDropout, type UpdateDropout } from "./update_dropout.ts";

/** Options of LoHa. By default, rows that dropout keeps are divided by the kept share. */
export interface LohaOptions extends TargetOptions, UpdateDropout {
  /** r, default 8. */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /**
   * Whose initialization, which determines the zero factor; "none" makes all factors random, for tests.
   * Default "peft".
   */
  readonly initialization?: "peft" | "lycoris" | "none";
}

/** One layer's factors: w1a, w2a [out, r]; w1b, w2b [r, in]. */
export type LohaFactors = {
  readonly w1a: Tensor;
  readonly w1b: Tensor;
  readonly w2a: Tensor;
  readonly w2b: Tensor;
};

/**
 * LoHa as a method. Parameters are stored under their layer's path: `….q_proj.w1a`. Embeddings can be
 * targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, a dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { loha } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(loha({ rank: 4, alpha: 1, initialization: "lycoris" }).name, "loha");
 * ```
 */
export function loha(options: LohaOptions = {}): Method {
  checkRanks(options);
  checkUpdateDropout(options);
  return {
    name: "loha",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        atPlaces(
          freshTargets(model.spec, options),
          (place) => freshFactors(place, options, fold(keyOf(key), place.path), model.backend),
        )
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map(({ path }) => {
        const alpha = byPattern(options.alphaPattern, path, options.alpha ?? options.rank ?? 8);
        const map = hadamardLowRank(paramsAt(params, path) as LohaFactors, alpha / lohaRank(path, options));
        return { kind: "linear", path, change: addUpdate(map, { rowDropoutScaling: "kept", ...options }) };
      }),
  };
}

/**
 * r for a layer.
 *
 * @example
 * ```ts
 * import { lohaRank } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(lohaRank("model.layers.0.q_proj", { rank: 4, rankPattern: { "q_proj": 16 } }), 16);
 * ```
 */
export function lohaRank(path: string, options: LohaOptions): number {
  return byPattern(options.rankPattern, path, options.rank ?? 8);
}

function freshFactors(place: MatrixPlace, options: LohaOptions, key: Key, backend: Backend): LohaFactors {
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = lohaRank(place.path, options);
  const [left, right] = [[outFeatures, r], [r, inFeatures]] as const;
  switch (options.initialization ?? "peft") {
    case "peft":
      return {
        w1a: kaiming(key, "w1a", left, backend),
        w1b: kaiming(key, "w1b", right, backend),
        w2a: kaiming(key, "w2a", left, backend),
        w2b: zeros(right, backend),
      };
    case "lycoris":
      return {
        w1a: normal(fold(key, "w1a"), left, backend, 0.1),
        w1b: normal(fold(key, "w1b"), right, backend),
        w2a: zeros(left, backend),
        w2b: normal(fold(key, "w2b"), right, backend),
      };
    case "none":
      return {
        w1a: kaiming(key, "w1a", left, backend),
        w1b: kaiming(key, "w1b", right, backend),
        w2a: kaiming(key, "w2a", left, backend),
        w2b: kaiming(key, "w2b", right, backend),
      };
  }
}
