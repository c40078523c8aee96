/** Random permutations. */
import { type Backend, type Key, type Tensor, threefry } from "../core/tensor/mod.ts";
import { integers } from "./create.ts";

/**
 * A permutation of 0 … n − 1 as i32 [n], a function of the key alone (Fisher and Yates' shuffle).
 *
 * @example
 * ```ts
 * import { key, read, reference } from "@graft/peft";
 * import { randomPermutation } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const order = await read(randomPermutation(key(0), 5, reference()));
 * assert.deepEqual([...order].sort(), [0, 1, 2, 3, 4]);
 * ```
 */
export function randomPermutation(key: Key, n: number, backend: Backend): Tensor {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(threefry(key, i, 0)[0] / 2 ** 32 * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return integers(order, backend);
}
