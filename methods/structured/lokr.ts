/**
 * LoKr. Yeh et al. 2023, "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation",
 * arXiv 2309.14859, section 3.
 *
 *   y = W x + b + s (W1 ⊗ W2) x        W1 [o1, i1]   W2 [o2, i2] = A2 B2 of rank r        s = α/r
 *
 * out = o1 o2 and in = i1 i2 by `factorPair`, usually with the smaller one first. A factor is split into a
 * low-rank pair where r is less than half of its larger side. Libraries differ: PEFT starts with W1 zero and
 * always scales by α/r; LyCORIS starts with W2 (or B2) zero, leaves the scale at 1 where neither factor is
 * split, and always puts the smaller size first.
 */
import {
  type Backend,
  byPattern,
  chooseTargets,
  dense,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  kronecker,
  type LinearMap,
  lowRank,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { zeros } from "../../ops/mod.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkPositive, checkRanks } from "../shared/option_checks.ts";
import { addUpdate, checkUpdateDropout, type UpdateDropout } from "./update_dropout.ts";

/** Options of LoKr. */
export interface LokrOptions extends TargetOptions, UpdateDropout {
  /** r, default 8. */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Size of the first factor where it divides, else the largest divisor below it; −1 (default) for near-square factors. */
  readonly factor?: number;
  /**
   * Order of the sizes when `factor` divides: as given ("given", default, as in PEFT) or the smaller one
   * first ("smallerFirst", as in LyCORIS).
   */
  readonly order?: "given" | "smallerFirst";
  /** Which factors may be low-rank pairs. Default "second". */
  readonly split?: "none" | "second" | "both";
  /** s where no factor is split: α/r ("standard", as PEFT, default) or 1 ("unitWhenFull", as LyCORIS). */
  readonly scaling?: "standard" | "unitWhenFull";
  /**
   * Whose initialization, which determines the zero factor; "none" makes all factors random, for tests.
   * Default "peft".
   */
  readonly initialization?: "peft" | "lycoris" | "none";
}

/** A factor: whole, or as a pair whose product it is. */
export type LokrFactor = "w1" | "w2";

/** One layer's factors: w1 [o1, i1] or w1a [o1, r], w1b [r, i1]; w2 likewise. */
export type LokrFactors = { readonly [name in LokrFactor | `${LokrFactor}${"a" | "b"}`]?: Tensor };

/** Shapes of a layer's factors, by name. */
export type LokrShapes = { readonly [name in keyof LokrFactors]: readonly [number, number] };

/**
 * LoKr as a method. Parameters are stored under their layer's path: `….q_proj.w1`, `w2a`, `w2b`. Embeddings
 * can be targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, a dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { lokr } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(lokr({ rank: 4, factor: 8, split: "both" }).name, "lokr");
 * ```
 */
export function lokr(options: LokrOptions = {}): Method {
  checkRanks(options);
  if ((options.factor ?? -1) !== -1) checkPositive("factor", options.factor!);
  checkUpdateDropout(options);
  return {
    name: "lokr",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        freshTargets(model.spec, options).flatMap((place) =>
          Object.entries(lokrShapes(place, options)).map(([name, shape]) => {
            const seed = fold(keyOf(key), place.path);
            return [`${place.path}.${name}`, fresh(name, shape, options, seed, model.backend)] as const;
          })
        )
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map(({ path }) => ({
        kind: "linear",
        path,
        change: addUpdate(updateMap(path, paramsAt(params, path) as LokrFactors, options), options),
      })),
  };
}

/** r for a layer. */
const rankOf = (path: string, options: LokrOptions): number =>
  byPattern(options.rankPattern, path, options.rank ?? 8);

function updateMap(path: string, factors: LokrFactors, options: LokrOptions): LinearMap {
  const map = (name: LokrFactor): LinearMap => {
    const whole = factors[name];
    return whole === undefined ? lowRank(factors[`${name}b`]!, factors[`${name}a`]!, 1) : dense(whole);
  };
  const full = factors.w1 !== undefined && factors.w2 !== undefined;
  const alpha = byPattern(options.alphaPattern, path, options.alpha ?? options.rank ?? 8);
  const scale = full && options.scaling === "unitWhenFull" ? 1 : alpha / rankOf(path, options);
  return kronecker(map("w1"), map("w2"), scale);
}

/**
 * The shapes of a layer's factors.
 *
 * @example
 * ```ts
 * import { freshModel, lokrShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * // [16, 16] as [4, 4] ⊗ [4, 4], the second of rank 1.
 * const shapes = lokrShapes(spec.linears[0]!, { rank: 1 });
 * assert.deepEqual(shapes, { w1: [4, 4], w2a: [4, 1], w2b: [1, 4] });
 * ```
 */
export function lokrShapes(place: MatrixPlace, options: LokrOptions): LokrShapes {
  const { inFeatures, outFeatures } = sizesOf(place);
  const [o1, o2] = factorPair(outFeatures, options.factor ?? -1, options.order);
  const [i1, i2] = factorPair(inFeatures, options.factor ?? -1, options.order);
  const r = rankOf(place.path, options);
  const split = options.split ?? "second";
  const factor = (name: LokrFactor, o: number, i: number, may: boolean): LokrShapes =>
    may && r < Math.max(o, i) / 2 ? { [`${name}a`]: [o, r], [`${name}b`]: [r, i] } : { [name]: [o, i] };
  return { ...factor("w1", o1, i1, split === "both"), ...factor("w2", o2, i2, split !== "none") };
}

/**
 * Two factors of n: (factor, n / factor) where factor divides n, else the divisors nearest to √n whose
 * smaller is at most the factor.
 *
 * @example
 * ```ts
 * import { factorPair } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.deepEqual(
 *   [factorPair(128, -1), factorPair(127, -1), factorPair(128, 4)],
 *   [[8, 16], [1, 127], [4, 32]],
 * );
 * ```
 */
export function factorPair(
  n: number,
  factor: number,
  order: "given" | "smallerFirst" = "given",
): readonly [number, number] {
  if (factor > 0 && n % factor === 0) {
    const other = n / factor;
    return order === "given" || factor <= other ? [factor, other] : [other, factor];
  }
  let m = Math.floor(Math.sqrt(n));
  while (n % m !== 0 || (factor > 0 && m > factor)) m--;
  return [m, n / m];
}

function fresh(
  name: string,
  shape: readonly [number, number],
  { initialization = "peft" }: LokrOptions,
  key: Key,
  backend: Backend,
): Tensor {
  const zero: readonly string[] = { peft: ["w1", "w1a"], lycoris: ["w2", "w2b"], none: [] }[initialization];
  return zero.includes(name) ? zeros(shape, backend) : kaiming(key, name, shape, backend);
}
