/** Gathering and scatter-adding rows or elements by index. */
import {
  defineKernel,
  defineOp,
  type Kernel,
  type Op,
  type Shape,
  showShape,
  type Tensor,
} from "../tensor/mod.ts";
import { typeError } from "../errors/error.ts";

const gatherRowsOp: Op<undefined> = defineOp({
  name: "gatherRows",
  shape: ([table, ids]) => [[...ids!.shape, ...table!.shape.slice(1)]],
  run: (backend, [table, ids], [y]) => backend.gatherRows(table!, ids!, y!),
  vjp: ([table, ids]) => ({
    saved: [ids!],
    pull: (g) => [scatterAddRows(g, ids!, table!.shape[0]!, table!.shape.slice(1)), undefined],
  }),
});

/**
 * Rows of a table [v, …] of any dtype at i32 ids of any shape: [...ids, …].
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { gatherRows, integers } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const table = tensor([[1, 2], [3, 4], [5, 6]], { backend: reference() });
 * assert.deepEqual([...await read(gatherRows(table, integers([2, 0], table.backend)))], [5, 6, 1, 2]);
 * ```
 */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  return gatherRowsOp([table, integer("gatherRows", ids)], undefined);
}

const scatterAddRowsOp: Op<Shape> = defineOp({
  name: "scatterAddRows",
  shape: (_, shape) => [shape],
  run: (backend, [x, ids], [y]) => backend.scatterAddRows(x!, ids!, y!),
  vjp: ([, ids]) => ({ saved: [ids!], pull: (g) => [gatherRows(g, ids!), undefined] }),
});

/**
 * Zeros [n, ...row] to which each x[i] is added at ids[i].
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { integers, scatterAddRows } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2], [3, 4]], { backend: reference() });
 * const ids = integers([1, 1], x.backend);
 * assert.deepEqual([...await read(scatterAddRows(x, ids, 3, [2]))], [0, 0, 4, 6, 0, 0]);
 * ```
 */
export function scatterAddRows(x: Tensor, ids: Tensor, n: number, row: Shape): Tensor {
  return scatterAddRowsOp([x, integer("scatterAddRows", ids)], [n, ...row]);
}

const gatherLastOp: Op<undefined> = defineOp({
  name: "gatherLast",
  shape: ([, ids]) => [ids!.shape],
  run: (backend, [x, ids], [y]) => backend.gatherLast(x!, ids!, y!),
  vjp: ([x, ids]) => ({ saved: [ids!], pull: (g) => [scatterAddLast(g, ids!, x!.shape), undefined] }),
});

/**
 * x[..., ids[..., j]] along the last axis; the leading axes of x and ids agree.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { gatherLast } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2, 3], [4, 5, 6]], { backend: reference() });
 * const ids = tensor([[2], [0]], { backend: x.backend, dtype: "i32" });
 * assert.deepEqual([...await read(gatherLast(x, ids))], [3, 4]); // an element of each row
 * ```
 */
export function gatherLast(x: Tensor, ids: Tensor): Tensor {
  return gatherLastOp([x, integer("gatherLast", ids)], undefined);
}

const scatterAddLastOp: Op<Shape> = defineOp({
  name: "scatterAddLast",
  shape: (_, shape) => [shape],
  run: (backend, [x, ids], [y]) => backend.scatterAddLast(x!, ids!, y!),
  vjp: ([, ids]) => ({ saved: [ids!], pull: (g) => [gatherLast(g, ids!), undefined] }),
});

/**
 * Zeros of a shape to which x[..., j] is added at ids[..., j] of the last axis.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { scatterAddLast } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 10]], { backend: reference() });
 * const ids = tensor([[2, 2]], { backend: x.backend, dtype: "i32" });
 * assert.deepEqual([...await read(scatterAddLast(x, ids, [1, 3]))], [0, 0, 11]);
 * ```
 */
export function scatterAddLast(x: Tensor, ids: Tensor, shape: Shape): Tensor {
  return scatterAddLastOp([x, integer("scatterAddLast", ids)], shape);
}

const argmaxKernel: Kernel<undefined> = defineKernel({
  name: "argmax",
  shape: ([x]) => [{ shape: x!.shape.slice(0, -1), dtype: "i32" }],
  run: (backend, [x], [y]) => backend.argmax(x!, y!),
});

/**
 * The index (i32) of the largest element along the last axis. Not differentiable.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { argmax } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 9, 9], [5, 4, 3]], { backend: reference() });
 * assert.deepEqual([...await read(argmax(x))], [1, 0]); // the first of equals
 * ```
 */
export function argmax(x: Tensor): Tensor {
  return argmaxKernel([x], undefined)[0]!;
}

function integer(op: string, ids: Tensor): Tensor {
  if (ids.dtype !== "i32") {
    throw typeError(
      "INVALID_TENSOR",
      `Expected i32 ids in ${op} but found ${ids.dtype}${showShape(ids.shape)}`,
    );
  }
  return ids;
}
