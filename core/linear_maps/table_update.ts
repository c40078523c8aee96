/**
 * An update of an embedding table, as a map of one-hot ids; a head that is tied to the table does not see it.
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";

/**
 * The update `table()` [rows, width], computed from `tensors` when needed.
 *
 * @example
 * ```ts
 * import { read, reference, tableUpdate, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const table = tensor([[1, 2], [3, 4], [5, 6]], { backend });
 * const map = tableUpdate(3, 2, [table], () => table);
 * const ids = tensor([1], { backend, dtype: "i32" });
 * assert.deepEqual([...await read(map.columns(ids))], [3, 4]);
 * ```
 */
export function tableUpdate(
  rows: number,
  width: number,
  tensors: readonly Tensor[],
  table: () => Tensor,
): LinearMap {
  return {
    inFeatures: rows,
    outFeatures: width,
    tensors,
    cost: rows * width,
    apply: (x) => reshape(matmul(reshape(x, [-1, rows]), table()), [...x.shape.slice(0, -1), width]),
    weight: () => transpose(table()),
    columns: (ids) => gatherRows(table(), ids),
  };
}
