/** A low-rank product with a weight for each of its triplets (AdaLoRA, arXiv 2303.10512), like a truncated SVD. */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, multiply, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";

/**
 * scale · B diag(e) A with A [r, in], e [r, 1], B [out, r].
 *
 * @example
 * ```ts
 * import { read, reference, tensor, triplets } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [a, e, b] = [[[1, 2]], [[10]], [[3], [4]]].map((numbers) => tensor(numbers, { backend }));
 * assert.deepEqual([...await read(triplets(a!, e!, b!, 1).weight())], [30, 60, 40, 80]);
 * ```
 */
export function triplets(a: Tensor, e: Tensor, b: Tensor, scale: number): LinearMap {
  const weights = (): Tensor => reshape(multiply(e, scale), [e.size]);
  const up = (h: Tensor): Tensor => matmul(multiply(h, weights()), b, { transposeB: true }); // [.., r] → [.., out]
  return {
    inFeatures: a.shape[1]!,
    outFeatures: b.shape[0]!,
    tensors: [a, e, b],
    cost: a.size + e.size + b.size,
    apply: (x) => up(matmul(x, a, { transposeB: true })),
    weight: () => matmul(multiply(b, weights()), a),
    columns: (ids) => up(gatherRows(transpose(a), ids)),
    factors: () => ({ a, b: multiply(b, weights()) }),
  };
}
