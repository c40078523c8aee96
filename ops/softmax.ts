/** Softmax and related functions over the last axis. */
import { defineOp, type Op, type Tensor } from "../tensor/mod.ts";
import { add, subtract } from "./binary.ts";
import { exp, log } from "./unary.ts";
import { max, sum } from "./reduce.ts";

const softmaxOp: Op<undefined> = defineOp({
  name: "softmax",
  shape: ([x]) => [x!.shape],
  run: (backend, [x], [y]) => backend.softmax(x!, y!),
  vjp: (_, [y]) => ({ saved: [y!], pull: (g) => [softmaxGradOp([y!, g], undefined)] }),
});

const softmaxGradOp: Op<undefined> = defineOp({
  name: "softmaxGrad",
  shape: ([y]) => [y!.shape],
  run: (backend, [y, g], [dx]) => backend.softmaxGrad(y!, g!, dx!),
});

/**
 * eˣ/Σeˣ over the last axis; a row of −∞ gives zeros.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { softmax } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[0, 0], [1000, 0]], { backend: reference() });
 * assert.deepEqual([...await read(softmax(x))], [0.5, 0.5, 1, 0]);
 * ```
 */
export function softmax(x: Tensor): Tensor {
  return softmaxOp([x], undefined);
}

/**
 * log Σ eˣ over the last axis, kept with size 1.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { logSumExp } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [y] = await read(logSumExp(tensor([1000, 1000], { backend: reference() })));
 * assert.ok(Math.abs(y! - (1000 + Math.LN2)) < 1e-3); // no overflow
 * ```
 */
export function logSumExp(x: Tensor): Tensor {
  const top = max(x, { axis: -1, keepAxes: true });
  return add(log(sum(exp(subtract(x, top)), { axis: -1, keepAxes: true })), top);
}

/**
 * log softmax over the last axis.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { logSoftmax } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [y] = await read(logSoftmax(tensor([0, 0], { backend: reference() })));
 * assert.ok(Math.abs(y! + Math.LN2) < 1e-6);
 * ```
 */
export function logSoftmax(x: Tensor): Tensor {
  return subtract(x, logSumExp(x));
}
