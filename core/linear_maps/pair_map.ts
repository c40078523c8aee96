/**
 * A 2 × 2 matrix on each pair of features (RoAd, arXiv 2409.00119). Features are in groups of g; feature j of
 * a group's first half is paired with feature j of its second half:
 *
 *   y_1 = a_1 x_1 − b_1 x_2        y_2 = a_2 x_2 + b_2 x_1        a, b [width]
 */
import type { Tensor } from "../../tensor/mod.ts";
import {
  add,
  concat,
  gatherRows,
  identity,
  multiply,
  negate,
  reshape,
  slice,
  transpose,
} from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { leading } from "./cheapest.ts";

/** The entries of all pairs, in the features' order. */
export interface PairEntries {
  /** On the diagonal [width]. */
  readonly a: Tensor;
  /** Off the diagonal [width]. */
  readonly b: Tensor;
}

/**
 * The map of pairs in groups of `group` features, an even divisor of the width. The entries are computed from
 * `tensors` at each use.
 *
 * @example
 * ```ts
 * import { pairMap, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [a, b] = [tensor([0, 0], { backend }), tensor([1, 1], { backend })]; // a quarter turn
 * const map = pairMap(2, 2, [a, b], () => ({ a, b }));
 * assert.deepEqual([...await read(map.apply(tensor([3, 4], { backend })))], [-4, 3]);
 * ```
 */
export function pairMap(
  width: number,
  group: number,
  tensors: readonly Tensor[],
  entries: () => PairEntries,
): LinearMap {
  const apply = (x: Tensor): Tensor => {
    const { a, b } = entries();
    const halves = reshape(x, [...leading(x), width / group, 2, group / 2]);
    const rotated = concat([negate(slice(halves, -2, 1, 2)), slice(halves, -2, 0, 1)], -2); // −x_2, x_1
    return add(multiply(x, a), multiply(reshape(rotated, x.shape), b));
  };
  const rows = (): Tensor => apply(identity(width, tensors[0]!.backend)); // row i is the image of e_i
  return {
    inFeatures: width,
    outFeatures: width,
    tensors,
    cost: 2 * width,
    apply,
    weight: () => transpose(rows()),
    columns: (ids) => gatherRows(rows(), ids),
  };
}
