/** Normalisations over the last axis. */
import { defineOp, type Op, type Tensor } from "../tensor/mod.ts";
import { multiply, subtract } from "./binary.ts";
import { sumTo } from "./broadcast.ts";
import { reshape } from "./movement.ts";

const rows = (x: Tensor): readonly number[] => x.shape.slice(0, -1);
const column = (x: Tensor): Tensor => reshape(x, [...x.shape, 1]);

const rmsNormOp: Op<number> = defineOp({
  name: "rmsNorm",
  shape: ([x]) => [x!.shape, rows(x!)],
  run: (backend, [x, w], [y, inverse], epsilon) => backend.rmsNorm(x!, w!, epsilon, y!, inverse!),
  vjp: ([x, w], [, inverse], _, needs) => ({
    saved: [x!, w!, inverse!],
    pull: (g) => [
      needs[0] ? rmsNormGradOp([x!, w!, inverse!, g], undefined) : undefined,
      needs[1] ? sumTo(multiply(g, multiply(x!, column(inverse!))), w!.shape) : undefined,
    ],
  }),
});

const rmsNormGradOp: Op<undefined> = defineOp({
  name: "rmsNormGrad",
  shape: ([x]) => [x!.shape],
  run: (backend, [x, w, inverse, g], [dx]) => backend.rmsNormGrad(x!, w!, inverse!, g!, dx!),
});

/**
 * x/√(mean x² + ε) ⊙ weight (arXiv 1910.07467). x [..., d], weight [d].
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { rmsNorm } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const y = rmsNorm(tensor([[2, -2]], { backend }), tensor([1, 10], { backend }), 0);
 * assert.deepEqual([...await read(y)], [1, -10]);
 * ```
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  return rmsNormOp([x, weight], epsilon);
}

const layerNormOp: Op<number> = defineOp({
  name: "layerNorm",
  shape: ([x]) => [x!.shape, rows(x!), rows(x!)],
  run: (backend, [x, w, b], [y, mean, inverse], epsilon) =>
    backend.layerNorm(x!, w!, b!, epsilon, y!, mean!, inverse!),
  vjp: ([x, w, b], [, mean, inverse], _, needs) => ({
    saved: [x!, w!, mean!, inverse!],
    pull: (g) => [
      needs[0] ? layerNormGradOp([x!, w!, mean!, inverse!, g], undefined) : undefined,
      needs[1]
        ? sumTo(multiply(g, multiply(subtract(x!, column(mean!)), column(inverse!))), w!.shape)
        : undefined,
      needs[2] ? sumTo(g, b!.shape) : undefined,
    ],
  }),
});

const layerNormGradOp: Op<undefined> = defineOp({
  name: "layerNormGrad",
  shape: ([x]) => [x!.shape],
  run: (backend, [x, w, mean, inverse, g], [dx]) => backend.layerNormGrad(x!, w!, mean!, inverse!, g!, dx!),
});

/**
 * (x − mean)/√(variance + ε) ⊙ weight + bias (arXiv 1607.06450). x [..., d], weight and bias [d].
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { full, layerNorm, ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const y = layerNorm(tensor([[1, 3]], { backend }), ones([2], backend), full([2], 5, backend), 0);
 * assert.deepEqual([...await read(y)], [4, 6]); // mean 2 and deviation 1 gone, then 5 added
 * ```
 */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  return layerNormOp([x, weight, bias], epsilon);
}
