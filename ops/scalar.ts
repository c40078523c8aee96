/** Scalar tensors from numbers. */
import { allocate, type Backend, type Tensor } from "../tensor/mod.ts";

/**
 * A scalar [] on a backend.
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { scalar } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const two = scalar(2, reference());
 * assert.deepEqual([two.shape, ...await read(two)], [[], 2]);
 * ```
 */
export function scalar(value: number, backend: Backend): Tensor {
  const result = allocate(backend, []);
  backend.fill(value, result);
  return result;
}
