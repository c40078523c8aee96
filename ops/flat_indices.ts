/** Places in a matrix by row and column as places in its elements. */
import { type BinaryOp, broadcast, defineOp, type Op, showShape, type Tensor } from "../tensor/mod.ts";
import { integers } from "./create.ts";

/** An elementwise op of i32 tensors that gives i32. */
const whole = (op: BinaryOp): Op<undefined> =>
  defineOp({
    name: op,
    shape: ([a, b]) => [{ shape: broadcast(op, a!.shape, b!.shape), dtype: "i32" }],
    run: (backend, [a, b], [y]) => backend.binary(op, a!, b!, y!),
    vjp: () => ({ saved: [], pull: () => [undefined, undefined] }),
  });
const [times, plus] = [whole("multiply"), whole("add")];

/**
 * Row-major places in a matrix of a width, of i32 rows and columns of one shape. Exact in whole numbers: no f32 holds the places of
 * a table of more than 2²⁴ elements.
 *
 * @throws {TypeError} when the rows or columns are no integers.
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
    if (dtype !== "i32") throw new TypeError(`Expected i32 places but found ${dtype}${showShape(shape)}`);
  }
  return plus([times([rows, integers([width], rows.backend)], undefined), columns], undefined);
}
