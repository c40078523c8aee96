/** How large a model will be, before it is written. */
import { byteLength, type DType, isQuantized, type Model, weightLeaves } from "../core/mod.ts";

/** Bytes of the weights, as they are or in a dtype. Vectors have no block type: they are stored in f32. */
export function writtenBytes({ weights }: Model, dtype?: DType): number {
  return weightLeaves(weights).reduce((total, [, leaf]) => {
    if (dtype === undefined) return total + byteLength(leaf.dtype, leaf.shape);
    return total + byteLength(leaf.shape.length < 2 && isQuantized(dtype) ? "f32" : dtype, leaf.shape);
  }, 0);
}
