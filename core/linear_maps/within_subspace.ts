/** A change of the input within a subspace (PSOFT, arXiv 2505.11235): I + Vᵀ (M − I) V with orthonormal rows V [r, width]. */
import type { Tensor } from "../../tensor/mod.ts";
import { add, gatherRows, identity, matmul, subtract, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";

/**
 * The map for M [r, r], which is computed from `tensors` at every use. Components outside the subspace pass
 * unchanged; `own` replaces x as the input of the projection (for dropout).
 *
 * @example
 * ```ts
 * import { read, reference, tensor, withinSubspace } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const v = tensor([[1, 0, 0], [0, 1, 0]], { backend });
 * const turn = tensor([[0, -1], [1, 0]], { backend }); // by a right angle, in the plane of the first two
 * const map = withinSubspace(v, () => turn, [turn]);
 * assert.deepEqual([...await read(map.apply(tensor([[3, 4, 5]], { backend })))], [-4, 3, 5]);
 * ```
 */
export function withinSubspace(
  v: Tensor,
  m: () => Tensor,
  tensors: readonly Tensor[],
  own: (x: Tensor) => Tensor = (x) => x,
): LinearMap {
  const [r, width] = [v.shape[0]!, v.shape[1]!];
  const moved = (): Tensor => subtract(m(), identity(r, v.backend));
  const apply = (x: Tensor): Tensor => {
    const h = matmul(own(x), v, { transposeB: true }); // [.., r]
    return add(x, matmul(matmul(h, moved(), { transposeB: true }), v));
  };
  const weight = (): Tensor =>
    add(identity(width, v.backend), matmul(matmul(v, moved(), { transposeA: true }), v));
  return {
    inFeatures: width,
    outFeatures: width,
    tensors: [v, ...tensors],
    cost: 2 * v.size + r * r,
    apply,
    weight,
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}
