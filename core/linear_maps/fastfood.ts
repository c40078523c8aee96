/**
 * The Fastfood transform (Le, Sarlós and Smola 2013), which maps d numbers to D without a matrix [D, d]:
 *
 *   P v = first D of  H G Π H B pad(v) / √(D Σ G²)        blocks of K, a power of two
 *
 * H is the un-normalised Walsh–Hadamard transform, B random signs, Π a permutation, G normal. The divisor
 * makes ‖P v‖ equal to ‖v‖ on average.
 */
import { fold, type Key, type Tensor } from "../../tensor/mod.ts";
import type { Backend } from "../../tensor/mod.ts";
import {
  concat,
  cos,
  divide,
  fastfoodSpread,
  gatherRows,
  less,
  log,
  mixingWords,
  multiply,
  place,
  randomPermutation,
  reshape,
  sin,
  slice,
  sqrt,
  subtract,
  sumOfSquares,
  transpose,
  uniform,
  walshHadamard,
} from "../../ops/mod.ts";
import { log2 } from "../../elementary/exponential.ts";

/** The random parts of one transform of n blocks of size K. */
export interface FastfoodDraws {
  /** B, ±1: [n, K]. */
  readonly signs: Tensor;
  /** Π, i32 [K], the same in all blocks. */
  readonly permutation: Tensor;
  /** G: [n, K]. */
  readonly gaussian: Tensor;
}

const keysOf = (key: Key) => ({
  signs: fold(key, "signs"),
  permutation: fold(key, "permutation"),
  gaussian: fold(key, "gaussian"),
});

/**
 * The random parts for D outputs in blocks of K, determined by the key.
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
  const n = Math.ceil(size / block);
  const keys = keysOf(key);
  return {
    signs: signs(keys.signs, n, block, backend),
    permutation: randomPermutation(keys.permutation, block, backend),
    gaussian: reshape(pairs(keys.gaussian, n * block, backend), [n, block]),
  };
}

function signs(key: Key, n: number, width: number, backend: Backend): Tensor {
  return subtract(1, multiply(less(uniform(key, [n, width], backend), 0.5), 2));
}

/**
 * Normal values [n] by the Box–Muller transform: words 2i and 2i + 1 of the stream give values 2i and 2i + 1.
 */
function pairs(key: Key, n: number, backend: Backend): Tensor {
  const half = Math.ceil(n / 2);
  const u = uniform(key, [half, 2], backend);
  const radius = sqrt(multiply(log(subtract(1, slice(u, 1, 0, 1))), -2)); // log of 1 − u in (0, 1]
  const angle = multiply(slice(u, 1, 1, 2), 2 * Math.PI);
  const both = concat([multiply(radius, cos(angle)), multiply(radius, sin(angle))], 1);
  return slice(reshape(both, [2 * half]), 0, 0, n);
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

/**
 * `fastfood` with the random parts of a key, for D outputs in blocks of K. Where the backend supports it, G
 * and Π are drawn where they are used and nothing of size D is stored. The first H then has only k = 2^⌈log₂
 * d⌉ columns: since v is followed by zeros, the full transform repeats it, and its entry p equals entry p mod
 * k.
 *
 * @example
 * ```ts
 * import { fastfood, fastfoodDraws, key, read, reference, seededFastfood, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const v = tensor([1, -2, 3], { backend });
 * const drawn = seededFastfood(v, key(0), 20, 8);
 * assert.deepEqual(await read(drawn), await read(fastfood(v, fastfoodDraws(key(0), 20, 8, backend), 20)));
 * ```
 */
export function seededFastfood(v: Tensor, key: Key, size: number, block: number): Tensor {
  const { backend } = v;
  if (backend.fastfood === undefined) return fastfood(v, fastfoodDraws(key, size, block, backend), size);
  const read = Math.min(v.size, block);
  const n = Math.ceil(size / block);
  const keys = keysOf(key);
  const drawn = n === 1
    ? signs(keys.signs, 1, read, backend)
    : slice(signs(keys.signs, n, block, backend), 1, 0, read);
  const mixed = walshHadamard(
    place(multiply(slice(v, 0, 0, read), drawn), 1, 0, 2 ** Math.ceil(log2(read))),
  );
  return fastfoodSpread(mixed, {
    size,
    block,
    gaussian: keys.gaussian,
    mixing: mixingWords(keys.permutation),
  });
}
