/** A tensor's values in another dtype. */
import { allocate, type DType, type Tensor } from "../../core/mod.ts";

/** A new tensor of the dtype. */
export function coded(x: Tensor, dtype: DType): Tensor {
  const result = allocate(x.backend, x.shape, dtype);
  x.backend.cast(x, result);
  return result;
}
