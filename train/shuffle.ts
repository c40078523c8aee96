/**
 * Shuffling by key: the order is determined by the key alone, so a resumed run repeats it without any saved
 * state.
 */
import { bitsAt, type Key } from "../tensor/key.ts";

/**
 * The numbers 0 … n − 1 in an order drawn by the key (Fisher and Yates; 32 random bits per swap).
 *
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import { permutation } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const order = permutation(5, key(7));
 * assert.deepEqual([...order].sort(), [0, 1, 2, 3, 4]);
 * assert.deepEqual(permutation(5, key(7)), order);
 * ```
 */
export function permutation(n: number, key: Key): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor((bitsAt(key, i) / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
