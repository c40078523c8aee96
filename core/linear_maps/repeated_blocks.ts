/**
 * One block repeated along the input (MiSS, arXiv 2409.15371): ΔW = [D, D, …, D]ᵀ cut to the input's width, so that
 * ΔW x = Dᵀ (sum of the pieces of x of length r).
 */
import type { Tensor } from "../../tensor/mod.ts";
import { concat, gatherRows, matmul, place, reshape, slice, sum, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { leading } from "./cheapest.ts";

/**
 * The map of a block D [r, out] on inputs of any width; the last piece may be short. With `copies` D consists
 * of that many copies of the block [r, m] side by side.
 *
 * @example
 * ```ts
 * import { read, reference, repeatedBlocks, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = repeatedBlocks(tensor([[1], [10]], { backend }), 3); // inputs 0 and 2 share a row of the block
 * assert.deepEqual([...await read(map.apply(tensor([[1, 2, 3]], { backend })))], [1 + 20 + 3]);
 * ```
 */
export function repeatedBlocks(block: Tensor, inFeatures: number, copies = 1): LinearMap {
  const r = block.shape[0]!;
  const outFeatures = block.shape[1]! * copies;
  const pieces = Math.ceil(inFeatures / r);
  const wide = (t: Tensor): Tensor => copies === 1 ? t : concat(Array.from({ length: copies }, () => t), -1);
  return {
    inFeatures,
    outFeatures,
    tensors: [block],
    cost: block.size,
    apply: (x) => {
      const padded = pieces * r === inFeatures ? x : place(x, -1, 0, pieces * r);
      return wide(matmul(sum(reshape(padded, [...leading(x), pieces, r]), { axis: -2 }), block));
    },
    weight: () => {
      const rows = wide(concat(Array.from({ length: pieces }, () => block), 0)); // [pieces · r, out]
      return transpose(slice(rows, 0, 0, inFeatures));
    },
    columns: (ids) => {
      const rows = concat(Array.from({ length: pieces }, () => block), 0);
      return wide(gatherRows(rows, ids));
    },
  };
}
