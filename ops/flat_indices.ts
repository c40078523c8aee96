/** Flat indices of matrix elements from rows and columns. */
import { type BinaryOp, broadcast, defineOp, type Op, showShape, type Tensor } from "../tensor/mod.ts";
import { integers } from "./create.ts";
import { typeError } from "../errors/error.ts";

/** An elementwise op of i32 tensors with an i32 result. */
const whole = (op: BinaryOp): Op<undefined> =>
  defineOp({
    name: op,
    shape: ([a, b]) => [{ shape: broadcast(op, a!.shape, b!.shape), dtype: "i32" }],
    run: (backend, [a, b], [y]) => backend.binary(op, a!, b!, y!),
    vjp: () => ({ saved: [], pull: () => [undefined, undefined] }),
  });
const [times, plus] = [whole("multiply"), whole("add")];

/**
 * Row-major indices in a matrix of the given width, from i32 rows and columns of the same shape. Computed in
 * integers, since f32 cannot represent all indices of a table of more than 2²⁴ elements.
 *
 * @throws {TypeError} when the rows or columns are not i32.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { flatIndices } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const at = (places: number[]) => tensor(places, { backend, dtype: "i32" });
 * assert.deepEqual([...await read(flatIndices(at([0, 2]), at([3, 1]), 4))], [3, 9]); // (0, 3) and (2, 1)
 * ```
 */
export function flatIndices(rows: Tensor, columns: Tensor, width: number): Tensor {
  for (const { dtype, shape } of [rows, columns]) {
    if (dtype !== "i32") {
      throw typeError("INVALID_TENSOR", `Expected i32 places but found ${dtype}${showShape(shape)}`);
    }
  }
  return plus([times([rows, integers([width], rows.backend)], undefined), columns], undefined);
}
