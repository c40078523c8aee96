/**
 * Lazy tensors: values that are computed when first read. A model of lazy tensors can be larger than memory
 * as long as it is only written to disk, one leaf at a time; a forward pass materializes all of them.
 */
import type { Backend } from "./backend.ts";
import { byteLength, type DType } from "./dtype.ts";
import { owned } from "./create.ts";
import { adopt, scope, type Synchronous } from "./scope.ts";
import { sameShape, type Shape, showShape } from "./shape.ts";
import { Storage } from "./storage.ts";
import { Tensor } from "./tensor.ts";
import { rangeError } from "../errors/error.ts";

/**
 * A tensor that `make` computes when it is first read, and again after a read inside `transiently`. `make`
 * must return the same values each time, and the tensors it reads must live as long as the result.
 *
 * @throws {RangeError} at the first read when the result of `make` has another shape or dtype.
 *
 * @example
 * ```ts
 * import { lazy, memory, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const x = lazy(backend, [2], "f32", () => tensor([1, 2], { backend }));
 * assert.equal(memory(backend).live, 0);
 * assert.deepEqual(await read(x), new Float32Array([1, 2]));
 * x.storage.free();
 * ```
 */
export function lazy(backend: Backend, shape: Shape, dtype: DType, make: () => Tensor): Tensor {
  const storage = new Storage(backend, byteLength(dtype, shape), () => {
    const made = scope((): Synchronous<Tensor> => {
      const found = make();
      if (found.dtype !== dtype || !sameShape(found.shape, shape)) {
        throw rangeError(
          "INVALID_TENSOR",
          `Expected a lazy ${dtype}${showShape(shape)} but ${found.dtype}${showShape(found.shape)} was made`,
        );
      }
      // The storage of a preexisting tensor stays with its owner.
      return owned(found) as Synchronous<Tensor>;
    });
    return made.storage;
  });
  adopt(storage);
  return new Tensor(storage, shape, dtype);
}
