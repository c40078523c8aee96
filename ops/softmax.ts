/** Softmax and relatives over the last axis. */
import { defineOp, type Op, type Tensor } from "../core/tensor/mod.ts";
import { add, exp, log, subtract } from "./elementwise.ts";
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

/** eˣ/Σeˣ over the last axis; a row of −∞ gives zeros. */
export function softmax(x: Tensor): Tensor {
  return softmaxOp([x], undefined);
}

/** log Σ eˣ over the last axis, kept with size 1. */
export function logSumExp(x: Tensor): Tensor {
  const top = max(x, { axis: -1, keepAxes: true });
  return add(log(sum(exp(subtract(x, top)), { axis: -1, keepAxes: true })), top);
}

/** log softmax over the last axis. */
export function logSoftmax(x: Tensor): Tensor {
  return subtract(x, logSumExp(x));
}
