/** Masks of every so many elements, for tests of sparse methods. */
import { type Model, weightLeaves } from "../../core/mod.ts";
import type { SparseMask } from "../../methods/mod.ts";

/** Every 7th element of each matrix, and a leaf as a whole. */
export function everySeventh(model: Model): SparseMask {
  const leaves = weightLeaves(model.weights);
  const whole = [leaves[leaves.length - 1]![0]];
  return {
    leaves: leaves.filter(([path]) => !whole.includes(path)).map(([path, t]) => ({
      path,
      shape: t.shape,
      indices: Int32Array.from({ length: Math.floor(t.size / 7) }, (_, i) => 7 * i + 3),
    })),
    whole,
  };
}

/** Every ninth element of each leaf. */
export const everyNinth = (model: Model): SparseMask => ({
  leaves: weightLeaves(model.weights).map(([path, { shape, size }]) => ({
    path,
    shape,
    indices: Int32Array.from({ length: Math.ceil(size / 9) }, (_, i) => 9 * i),
  })),
  whole: [],
});
