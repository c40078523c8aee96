/**
 * FISH mask. Sung, Nair and Raffel 2021, "Training Neural Networks with Fixed Sparse Masks", arXiv 2111.09839, section 2.
 *
 *   F_j = 1/n Σ_i (∂ log p(y_i | x_i) / ∂θ_j)²        mask: the k elements of largest F, chosen once        θ = θ0 + scatter(δ)
 *
 * The mask comes from `fisherMask` (recipes/fish_mask.ts), which squares the gradient of each example by
 * itself. The classifier, which is new, is trained as a whole and counts against the budget: k = ⌊ratio · N⌋
 * − classifier, as in the authors' code (`run_glue_sparse_update.py`). δ starts at zero, so weight decay
 * pulls a weight towards its initial value.
 */
import type { Method } from "../../core/mod.ts";
import { sparse, type SparseOptions } from "./sparse.ts";

/**
 * FISH mask as a method. Parameters: `<leaf>.values` [k] and `<leaf>.frozen.indices` [k]; the classifier's
 * leaves as a whole.
 *
 * @throws {RangeError} when the mask is empty; at init, when it belongs to another model.
 * @example
 * ```ts
 * import { fishMask } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const leaf = { path: "lm_head.weight", shape: [4, 4], indices: Int32Array.of(3, 7) };
 * assert.equal(fishMask({ mask: { leaves: [leaf], whole: [] } }).name, "fishMask");
 * ```
 */
export function fishMask({ mask }: SparseOptions): Method {
  return sparse("fishMask", mask);
}
