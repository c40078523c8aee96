/**
 * The gate of UniPELT. Mao et al. 2022, "UniPELT: A Unified Framework for Parameter-Efficient Language Model Tuning",
 * arXiv 2110.07577, section 3.2.
 *
 *   g = mean over tokens of σ(w · x_t + b)        one number per text, [b, 1, 1]
 *
 * The mean includes padding, as in the authors' code.
 */
import { type Backend, fold, type Gate, type GateDefinition, type Key, type Tensor } from "../../core/mod.ts";
import { add, concat, matmul, mean, normal, reshape, sigmoid, zeros } from "../../ops/mod.ts";

type Weights = { readonly weight: Tensor; readonly bias: Tensor };

/**
 * A gate for `gated`: w [width, 1] starts normal with deviation 0.02, b [1] at 0, so g is near ½.
 *
 * @example
 * ```ts
 * import { key, read, reference, sentenceGate } from "@graft/peft";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const gate = sentenceGate();
 * const value = gate.value(gate.init(4, key(0), backend), ones([2, 3, 4], backend));
 * assert.deepEqual(value.shape, [2, 1, 1]); // a number a text
 * assert.ok((await read(value)).every((g) => Math.abs(g - 0.5) < 0.1));
 * ```
 */
export function sentenceGate(): Gate {
  return {
    name: "sentence-gate",
    config: {},
    init: (width, key, backend) => fresh(width, key, backend),
    value: (params, x) => value(params as Weights, x),
  };
}

/**
 * Two such gates for the two halves of a prefix: one for its keys and one for its values, [b, 1, 2].
 *
 * @example
 * ```ts
 * import { key, keyValueGate, reference } from "@graft/peft";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const gate = keyValueGate();
 * const value = gate.value(gate.init(4, key(0), backend), ones([2, 3, 4], backend));
 * assert.deepEqual(value.shape, [2, 1, 2]); // of keys and of values
 * ```
 */
export function keyValueGate(): Gate {
  return {
    name: "key-value-gate",
    config: {},
    init: (width, key, backend) => ({
      key: fresh(width, fold(key, "key"), backend),
      value: fresh(width, fold(key, "value"), backend),
    }),
    value: (params, x) => {
      const { key, value: v } = params as { readonly key: Weights; readonly value: Weights };
      return concat([value(key, x), value(v, x)], 2);
    },
  };
}

/** `sentenceGate` in records. */
export const sentenceGateDefinition: GateDefinition = { gate: "sentence-gate", createGate: sentenceGate };

/** `keyValueGate` in records. */
export const keyValueGateDefinition: GateDefinition = { gate: "key-value-gate", createGate: keyValueGate };

const fresh = (width: number, key: Key, backend: Backend): Weights => ({
  weight: normal(fold(key, "weight"), [width, 1], backend, 0.02),
  bias: zeros([1], backend),
});

function value({ weight, bias }: Weights, x: Tensor): Tensor {
  const rows = x.shape.length === 2 ? reshape(x, [1, ...x.shape]) : x; // [b, t, width]
  return mean(sigmoid(add(matmul(rows, weight), bias)), { axis: 1, keepAxes: true });
}
