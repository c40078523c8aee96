/**
 * The Fastfood transform (Le, Sarlós and Smola 2013), which maps d numbers to D without a matrix [D, d]:
 *
 *   P v = first D of  H G Π H B pad(v) / √(D Σ G²)        blocks of K, a power of two
 *
 * H is the un-normalised Walsh–Hadamard transform, B random signs, Π a permutation, G normal. The divisor makes the mean of
 * ‖P v‖ be ‖v‖.
 */
import { fold, type Key, type Tensor } from "../tensor/mod.ts";
import type { Backend } from "../tensor/mod.ts";
import {
  divide,
  gatherRows,
  less,
  multiply,
  normal,
  place,
  randomPermutation,
  reshape,
  slice,
  sqrt,
  subtract,
  sumOfSquares,
  transpose,
  uniform,
  walshHadamard,
} from "../../ops/mod.ts";

/** What is random in one transform of n blocks of K. */
export interface FastfoodDraws {
  /** B, ±1: [n, K]. */
  readonly signs: Tensor;
  /** Π, i32 [K], the same in all blocks. */
  readonly permutation: Tensor;
  /** G: [n, K]. */
  readonly gaussian: Tensor;
}

/**
 * The draws for D outputs in blocks of K, a function of the key.
 *
 * @example
 * ```ts
 * import { fastfoodDraws, key, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { signs, permutation, gaussian } = fastfoodDraws(key(0), 20, 8, reference());
 * assert.deepEqual([signs.shape, permutation.shape], [[3, 8], [8]]); // 3 blocks of 8 hold 20
 * assert.deepEqual(gaussian.shape, [3, 8]);
 * assert.ok((await read(signs)).every((sign) => Math.abs(sign) === 1));
 * ```
 */
export function fastfoodDraws(key: Key, size: number, block: number, backend: Backend): FastfoodDraws {
  const shape = [Math.ceil(size / block), block];
  return {
    signs: subtract(1, multiply(less(uniform(fold(key, "signs"), shape, backend), 0.5), 2)),
    permutation: randomPermutation(fold(key, "permutation"), block, backend),
    gaussian: normal(fold(key, "gaussian"), shape, backend),
  };
}

/**
 * P v [D] for v [d]. Where d exceeds K only the first K of v are read (as in the released code).
 *
 * @example
 * ```ts
 * import { fastfood, fastfoodDraws, key, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const draws = fastfoodDraws(key(0), 20, 8, backend);
 * const [one, two] = [[1, -2, 3], [2, -4, 6]].map((v) => fastfood(tensor(v, { backend }), draws, 20));
 * assert.deepEqual(one!.shape, [20]);
 * const [first, second] = [await read(one!), await read(two!)];
 * assert.ok(first.every((x, i) => Math.abs(2 * x - second[i]!) < 1e-6)); // P is linear
 * ```
 */
export function fastfood(v: Tensor, { signs, permutation, gaussian }: FastfoodDraws, size: number): Tensor {
  const block = signs.shape[1]!;
  const padded = v.size > block ? slice(v, 0, 0, block) : place(v, 0, 0, block);
  const mixed = walshHadamard(multiply(padded, signs)); // [n, K]
  const moved = transpose(gatherRows(transpose(mixed), permutation));
  const spread = walshHadamard(multiply(moved, gaussian));
  const divisor = sqrt(multiply(sumOfSquares(gaussian, { axis: 1, keepAxes: true }), size)); // [n, 1]
  return slice(reshape(divide(spread, divisor), [-1]), 0, 0, size);
}
