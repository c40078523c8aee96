/** A linear layer as edits see it: its map, its bias and what they make of an input. */
import type { Tensor } from "../../tensor/mod.ts";
import { add, gatherRows, transpose } from "../../ops/mod.ts";
import { decoded, type LinearMap, type Term } from "../linear_maps/linear_map.ts";
import { typeError } from "../../errors/error.ts";

/** A linear layer: y = W x + b. */
export interface Layer {
  /** x [..., in] → y [..., out]. */
  apply(x: Tensor): Tensor;
  /** `apply` of x plus the term of a low-rank map, fused into one operation where supported. */
  applyPlus?(x: Tensor, term: Term): Tensor;
  /** Outputs for one-hot inputs: rows of Wᵀ at ids. */
  columns(ids: Tensor): Tensor;
  /** [out, in], f32. @throws {TypeError} when an edit has no weight form. */
  weight(): Tensor;
  /** [out], where there is one. */
  bias(): Tensor | undefined;
}

/**
 * The bare layer of a stored matrix ([out, in], or [in, out] when transposed).
 *
 * @example
 * ```ts
 * import { bareLayer, dense, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const layer = bareLayer(dense(tensor([[1, 2], [3, 4]], { backend })), tensor([10, 20], { backend }));
 * assert.deepEqual([...await read(layer.apply(tensor([[1, 1]], { backend })))], [13, 27]);
 * ```
 */
export function bareLayer(map: LinearMap, bias: Tensor | undefined): Layer {
  const biased = (y: Tensor): Tensor => bias === undefined ? y : add(y, bias);
  return {
    apply: (x) => biased(map.apply(x)),
    ...map.applyPlus && { applyPlus: (x, term) => biased(map.applyPlus!(x, term)) },
    columns: (ids) => map.columns(ids),
    weight: () => decoded(map.weight()),
    bias: () => bias,
  };
}

/**
 * An embedding table [rows, width] of any dtype, seen as the layer of one-hot inputs.
 *
 * @example
 * ```ts
 * import { read, reference, tableLayer, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const table = tableLayer(tensor([[1, 2], [3, 4], [5, 6]], { backend }));
 * assert.deepEqual([...await read(table.columns(tensor([2, 0], { backend, dtype: "i32" })))], [5, 6, 1, 2]);
 * ```
 */
export function tableLayer(table: Tensor): Layer {
  return {
    apply: () => {
      throw typeError("METHOD_DOES_NOT_FIT", "An embedding is looked up by id, not applied");
    },
    columns: (ids) => gatherRows(table, ids),
    weight: () => transpose(decoded(table)),
    bias: () => undefined,
  };
}
