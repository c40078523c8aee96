/** An update of an embedding's table, as the map of one-hot ids: a head that is tied to the table does not see it. */
import type { Tensor } from "../tensor/mod.ts";
import { gatherRows, matmul, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "../linear_map.ts";

/** The update `table()` [rows, width], made of `tensors` when it is needed. */
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
