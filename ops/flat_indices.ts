/** Places in a matrix by row and column as places in its elements. */
import { type BinaryOp, broadcast, defineOp, type Op, showShape, type Tensor } from "../core/tensor/mod.ts";
import { integers } from "./create.ts";
import { slice } from "./movement.ts";

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
 * Row-major places, i32 [1, n], of i32 positions [2, n] (rows, then columns) in a matrix of a width. Exact in whole numbers: no
 * f32 holds the places of a table of more than 2²⁴ elements.
 *
 * @throws {TypeError} when the positions are no integers.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { flatIndices } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const positions = tensor([[0, 2], [3, 1]], { backend: reference(), dtype: "i32" }); // (0, 3) and (2, 1)
 * assert.deepEqual([...await read(flatIndices(positions, 4))], [3, 9]);
 * ```
 */
export function flatIndices(positions: Tensor, width: number): Tensor {
  const { backend, dtype, shape } = positions;
  if (dtype !== "i32") throw new TypeError(`Expected i32 positions but found ${dtype}${showShape(shape)}`);
  const starts = times([slice(positions, 0, 0, 1), integers([width], backend, [1, 1])], undefined);
  return plus([starts, slice(positions, 0, 1, 2)], undefined);
}
