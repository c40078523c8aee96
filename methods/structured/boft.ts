/**
 * BOFT. Liu et al. 2023, "Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization", arXiv 2311.06243.
 *
 *   y = s ⊙ W Rᵀ x + b        R = M_m … M_1        M_i = P_i diag(C_i1, …, C_in) P_iᵀ        s [out]
 *
 * The blocks C [c, c] are Cayley transforms of the skew part of free matrices, zero initially; the
 * permutations P_i double the reach of each factor, so that m factors mix pieces of 2^(m−1) c inputs. s, one
 * initially, is what PEFT adds; it does not scale the bias. PEFT without its CUDA kernel uses m = 1 whatever
 * the config says; here m is as requested.
 */
import {
  blockDiagonal,
  chain,
  chunkShuffle,
  type Edit,
  fn,
  freshTargets,
  type Key,
  type LinearMap,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
  tensor,
  threefry,
} from "../../core/mod.ts";
import { multiply, ones, reshape, slice, subtract, transpose, zeros } from "../../ops/mod.ts";
import { cayley } from "../../numerics/cayley.ts";
import { type Blocks, checkBlocks, piecesOf } from "./oft.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive, checkProbability } from "../shared/option_checks.ts";
import { rotatedPlaces } from "./rotated_places.ts";

/** Options of BOFT. */
export interface BoftOptions extends TargetOptions {
  /** Default pieces of 4. */
  readonly blocks?: Blocks;
  /** m, default 1: one factor, no butterfly. */
  readonly factors?: number;
  /**
   * In training ⌊share · n⌋ blocks of one factor, both redrawn in each pass, are set to the identity. Default
   * 0.
   */
  readonly dropout?: number;
}

/** One layer's parameters: r [m, n, c, c], s [out]. */
export type BoftParams = { readonly r: Tensor; readonly s: Tensor };

/**
 * BOFT as a method. Parameters: `r` and `s` under each layer's path. Linear layers only.
 *
 * @throws {RangeError} when blocks or factors do not divide a layer's input, targets match nothing, or a target is an
 * embedding.
 * @example
 * ```ts
 * import { boft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(boft({ blocks: { size: 4 }, factors: 2 }).name, "boft");
 * ```
 */
export function boft(options: BoftOptions = {}): Method {
  checkBlocks(options.blocks);
  checkPositive("factors", options.factors ?? 1);
  checkProbability("dropout", options.dropout ?? 0);
  return {
    name: "boft",
    config: { ...options },
    init: ({ model }) =>
      freshParams(() =>
        rotatedPlaces("boft", model.spec, options, freshTargets).flatMap((place) => [
          [`${place.path}.r`, zeros(boftShape(place, options), model.backend)] as const,
          [`${place.path}.s`, ones([place.outFeatures], model.backend)] as const,
        ])
      ),
    edits: (params, spec) =>
      rotatedPlaces("boft", spec, options).flatMap((place) => {
        const { r, s } = paramsAt(params, place.path) as BoftParams;
        const kept = r.shape[1]! - Math.floor((options.dropout ?? 0) * r.shape[1]!);
        return [
          {
            kind: "linear",
            path: place.path,
            change: {
              form: "input",
              map: butterfly(place, r, false),
              inverse: butterfly(place, r, true),
              ...kept < r.shape[1]! && {
                dropped: fn({ r }, ({ r }, { key }) => butterfly(place, withoutSome(r, kept, key!), false)),
              },
            },
          },
          scaled(place.path, s),
        ];
      }),
  };
}

/**
 * The shape of a layer's `r`.
 *
 * @throws {RangeError} when its input cannot be divided so.
 * @example
 * ```ts
 * import { boftShape, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [query] = spec.linears; // 16 inputs
 * assert.deepEqual(boftShape(query!, { blocks: { size: 4 }, factors: 2 }), [2, 4, 4, 4]);
 * ```
 */
export function boftShape(
  place: MatrixPlace,
  options: BoftOptions,
): readonly [number, number, number, number] {
  const { size, count } = piecesOf("boft", place, options.blocks ?? { size: 4 });
  const m = options.factors ?? 1;
  if (m > 1 && (size % 2 !== 0 || count % 2 ** (m - 1) !== 0)) {
    throw new RangeError(
      `Cannot put ${m} butterfly factors on "${place.path}": its ${count} blocks of ${size} must be even and divisible by ${
        2 ** (m - 1)
      }`,
    );
  }
  return [m, count, size, size];
}

/** Sets some blocks of one factor to zero; the transform of a zero block is the identity. */
function withoutSome(r: Tensor, kept: number, key: Key): Tensor {
  const [m, n] = [r.shape[0]!, r.shape[1]!];
  const draws = Array.from({ length: n + 1 }, (_, i) => threefry(key, i, 0)[0] >>> 0);
  const factor = Math.floor(m * draws[n]! / 2 ** 32);
  const order = draws.slice(0, n).map((draw, block) => ({ draw, block })).sort((a, b) => a.draw - b.draw);
  const out = new Set(order.slice(kept).map(({ block }) => factor * n + block));
  const mask = Float32Array.from({ length: m * n }, (_, i) => out.has(i) ? 0 : 1);
  return multiply(r, tensor(mask, { backend: r.backend, shape: [m, n, 1, 1] }));
}

/**
 * Rᵀ as a map, or R when `inverted`. In row form x R applies M_m first; each M is its blocks between two
 * shuffles.
 */
function butterfly(place: MatrixPlace, r: Tensor, inverted: boolean): LinearMap {
  const { inFeatures } = sizesOf(place);
  const [m, n, c] = [r.shape[0]!, r.shape[1]!, r.shape[2]!];
  const factors = Array.from({ length: m }, (_, i) => {
    const blocks = (): Tensor => {
      const free = reshape(slice(r, 0, i, i + 1), [n, c, c]);
      const rotated = cayley(multiply(subtract(free, transpose(free)), 0.5));
      return inverted ? rotated : transpose(rotated);
    };
    const diagonal = blockDiagonal(blocks, r, c, inFeatures);
    if (m === 1 || i === 0) return diagonal; // P_1 is the identity
    const shuffle = (direction: "gather" | "interleave"): LinearMap =>
      chunkShuffle(inFeatures, c * 2 ** i, c / 2, direction, r);
    return chain([shuffle("interleave"), diagonal, shuffle("gather")]);
  });
  return chain(inverted ? factors : factors.reverse());
}

/** y ← b + s ⊙ (y − b). */
function scaled(path: string, s: Tensor): Edit {
  return {
    kind: "linear",
    path,
    change: {
      form: "delta",
      reads: "output",
      delta: fn(
        { s },
        ({ s }, { y, bias }) => multiply(bias === undefined ? y : subtract(y, bias), subtract(s, 1)),
      ),
      weight: fn({ s }, ({ s }, { weight }) => multiply(weight, reshape(s, [-1, 1]))),
    },
  };
}
