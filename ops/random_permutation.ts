/**
 * Random permutations of 2^b elements without a table: four rounds of
 *
 *   x ← (m x + a) mod 2^b,  x ← x xor (x >> ⌈b / 2⌉)        m odd, m and a drawn
 *
 * Each step is invertible, so the rounds are a permutation; a kernel computes any element's value
 * independently.
 */
import { type Backend, type Key, type Tensor, threefry } from "../tensor/mod.ts";
import { integers } from "./create.ts";
import { rangeError } from "../errors/error.ts";
import { log2 } from "../elementary/exponential.ts";

const ROUNDS = 4;

/**
 * m and a of each round, 32 bits each: a function of the key.
 *
 * @example
 * ```ts
 * import { key } from "@graft/peft";
 * import { mixingWords } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const words = mixingWords(key(0));
 * assert.equal(words.length, 8); // m and a of four rounds
 * assert.ok(words.every((word, i) => i % 2 === 1 || word % 2 === 1)); // every m is odd
 * ```
 */
export function mixingWords(key: Key): readonly number[] {
  return Array.from({ length: ROUNDS }, (_, round) => threefry(key, round, 0))
    .flatMap(([m, a]) => [(m | 1) >>> 0, a]);
}

/**
 * A permutation of 0 … n − 1 as i32 [n], a function of the key alone.
 *
 * @throws {RangeError} when n is not a power of two.
 * @example
 * ```ts
 * import { randomPermutation } from "@graft/peft/ops";
 * import { key, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const order = await read(randomPermutation(key(0), 8, reference()));
 * assert.deepEqual([...order].sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
 * ```
 */
export function randomPermutation(key: Key, n: number, backend: Backend): Tensor {
  const bits = log2(n);
  if (!Number.isInteger(bits)) {
    throw rangeError("INVALID_TENSOR", `Expected a power of two of places but found ${n}`);
  }
  const fold = Math.max(1, Math.ceil(bits / 2));
  const words = mixingWords(key);
  const order = Int32Array.from({ length: n }, (_, place) => {
    let x = place;
    for (let i = 0; i < words.length; i += 2) {
      x = (Math.imul(x, words[i]!) + words[i + 1]!) & (n - 1);
      x ^= x >>> fold;
    }
    return x;
  });
  return integers(order, backend);
}
