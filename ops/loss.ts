/** Losses over class scores. */
import { defineOp, type Op, showShape, type Tensor } from "../tensor/mod.ts";
import { divide, multiply, subtract } from "./binary.ts";
import { exp } from "./unary.ts";
import { zeros } from "./create.ts";
import { concat, reshape } from "./movement.ts";
import { sum } from "./reduce.ts";
import { logSumExp } from "./softmax.ts";
import { rangeError } from "../errors/error.ts";

const crossEntropyOp: Op<number> = defineOp({
  name: "crossEntropy",
  shape: ([logits, labels]) => {
    if (logits!.shape.length !== 2 || labels!.shape.length !== 1 || logits!.shape[0] !== labels!.shape[0]) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot take the cross-entropy of logits ${showShape(logits!.shape)} and labels ${
          showShape(labels!.shape)
        }: ` +
          "expected [rows, classes] and [rows]",
      );
    }
    return [labels!.shape, labels!.shape];
  },
  run: (backend, [logits, labels], [loss, lse], smoothing) =>
    backend.crossEntropy(logits!, labels!, smoothing, loss!, lse!),
  vjp: ([logits, labels], [, lse], smoothing) => ({
    saved: [logits!, labels!, lse!],
    pull: (g, spent) => {
      if (!spent(logits!)) return [crossEntropyGradOp([logits!, labels!, lse!, g], smoothing), undefined];
      logits!.backend.crossEntropyGrad(logits!, labels!, smoothing, lse!, g, logits!);
      return [logits!, undefined];
    },
  }),
});

const crossEntropyGradOp: Op<number> = defineOp({
  name: "crossEntropyGrad",
  shape: ([logits]) => [logits!.shape],
  run: (backend, [logits, labels, lse, g], [dlogits], smoothing) =>
    backend.crossEntropyGrad(logits!, labels!, smoothing, lse!, g!, dlogits!),
});

/** The label that marks a position without a loss. */
export const IGNORED: -100 = -100;

/**
 * −log p(label) per row of logits [rows, v] with i32 labels [rows]; 0 where the label is −100. Smoothing s mixes the
 * target with the uniform distribution (arXiv 1512.00567).
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { crossEntropy, integers, zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const logits = zeros([2, 4], reference());
 * const losses = await read(crossEntropy(logits, integers([3, -100], logits.backend)));
 * assert.ok(Math.abs(losses[0]! - Math.log(4)) < 1e-6); // four equally likely classes
 * assert.equal(losses[1], 0); // no label
 * ```
 */
export function crossEntropy(logits: Tensor, labels: Tensor, smoothing = 0): Tensor {
  return crossEntropyOp([logits, labels], smoothing);
}

/**
 * The mean of `crossEntropy` over `count` labelled rows.
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { integers, meanCrossEntropy, zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const logits = zeros([3, 4], reference());
 * const [mean] = await read(meanCrossEntropy(logits, integers([3, -100, 0], logits.backend), 2));
 * assert.ok(Math.abs(mean! - Math.log(4)) < 1e-6); // over the two rows that have a label
 * ```
 */
export function meanCrossEntropy(logits: Tensor, labels: Tensor, count: number, smoothing = 0): Tensor {
  return divide(sum(crossEntropy(logits, labels, smoothing)), count);
}

/**
 * −y log σ(x) − (1 − y) log(1 − σ(x)) of each element, as log(1 + eˣ) − x y: finite for any x.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { binaryCrossEntropy } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const losses = await read(binaryCrossEntropy(tensor([0, 200], { backend }), tensor([1, 1], { backend })));
 * assert.ok(Math.abs(losses[0]! - Math.LN2) < 1e-6);
 * assert.equal(losses[1], 0); // finite for any score
 * ```
 */
export function binaryCrossEntropy(logits: Tensor, wanted: Tensor): Tensor {
  const column = reshape(logits, [...logits.shape, 1]);
  const softplus = logSumExp(concat([column, zeros(column.shape, logits.backend)], -1));
  return subtract(reshape(softplus, logits.shape), multiply(logits, wanted));
}

/**
 * KL(p ‖ q) summed over the last axis, from log-probabilities.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { klDivergence, log, maximum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [p, q] = [tensor([1, 0], { backend }), tensor([0.5, 0.5], { backend })];
 * const [bits] = await read(klDivergence(log(maximum(p, 1e-30)), log(q)));
 * assert.ok(Math.abs(bits! - Math.LN2) < 1e-6); // a coin's one bit, in nats
 * ```
 */
export function klDivergence(logP: Tensor, logQ: Tensor): Tensor {
  return sum(multiply(exp(logP), subtract(logP, logQ)), { axis: -1 });
}
