/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997), in the form and with the parameters of torch.nn.LSTM:
 *
 *   [i f g o] = Wx x_t + bx + Wh h_{t−1} + bh      Wx [4 H, in]   Wh [4 H, H]
 *   c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g)          h_t = σ(o) ⊙ tanh(c_t)
 *
 * Composed of other ops: one product over all steps for the inputs, one per step for the states.
 */
import { fold, type Key, type Shape, showShape, type Tensor } from "../tensor/mod.ts";
import { dropout } from "./activation.ts";
import { zeros } from "./create.ts";
import { add, multiply } from "./binary.ts";
import { sigmoid, tanh } from "./unary.ts";
import { matmul } from "./matmul.ts";
import { concat, reshape, slice } from "./movement.ts";
import { rangeError } from "../errors/error.ts";

/** A matrix [4 H, in] and a bias [4 H], rows in the order input, forget, candidate, output. */
export type LstmGates = { readonly weight: Tensor; readonly bias: Tensor };

/** One reading direction: gates of the input and of the hidden state. */
export type LstmDirection = { readonly input: LstmGates; readonly hidden: LstmGates };

/** One layer, forward or bidirectional. */
export type LstmLayer = { readonly forward: LstmDirection; readonly backward?: LstmDirection };

/** Dropout between layers, as in torch: not after the last. */
export interface LstmDropout {
  /** Probability of dropping an element between layers. */
  readonly p: number;
  /** Key of the random numbers. */
  readonly key: Key;
}

/**
 * Hidden states of the last layer [b, t, H] for x [b, t, in], or [b, t, 2 H] when it is bidirectional,
 * forward states first. States start at zero.
 *
 * @throws {RangeError} when a layer's shapes do not fit its input.
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { lstm, ones, zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const gates = (size: number) => ({ weight: zeros([8, size], backend), bias: zeros([8], backend) });
 * const layer = { forward: { input: gates(3), hidden: gates(2) } }; // 3 numbers per step into 2 states
 * const states = lstm([layer], ones([1, 4, 3], backend));
 * assert.deepEqual(states.shape, [1, 4, 2]);
 * assert.ok((await read(states)).every((h) => h === 0)); // nothing is let in: tanh(0) = 0
 * ```
 */
export function lstm(layers: readonly LstmLayer[], x: Tensor, between?: LstmDropout): Tensor {
  return layers.reduce((h, layer, i) => {
    const read = i > 0 && between !== undefined ? dropout(h, between.p, fold(between.key, i)) : h;
    const there = direction(layer.forward, read, "forward");
    return layer.backward === undefined
      ? there
      : concat([there, direction(layer.backward, read, "backward")], 2);
  }, x);
}

function direction({ input, hidden }: LstmDirection, x: Tensor, way: "forward" | "backward"): Tensor {
  const [b, t, inner] = x.shape as [number, number, number];
  const width = hidden.weight.shape[1]!; // H
  check("input", input, [4 * width, inner]);
  check("hidden", hidden, [4 * width, width]);
  const inputs = add(matmul(x, input.weight, { transposeB: true }), add(input.bias, hidden.bias)); // [b, t, 4H]
  let h = zeros([b, width], x.backend);
  let c = h;
  const states: Tensor[] = [];
  for (let step = 0; step < t; step++) {
    const at = way === "forward" ? step : t - 1 - step;
    const read = reshape(slice(inputs, 1, at, at + 1), [b, 4 * width]);
    const gates = step === 0 ? read : add(read, matmul(h, hidden.weight, { transposeB: true })); // [b, 4H]
    const gate = (i: number): Tensor => slice(gates, 1, i * width, (i + 1) * width);
    const fresh = multiply(sigmoid(gate(0)), tanh(gate(2)));
    c = step === 0 ? fresh : add(multiply(sigmoid(gate(1)), c), fresh);
    h = multiply(sigmoid(gate(3)), tanh(c));
    states.push(reshape(h, [b, 1, width]));
  }
  return concat(way === "forward" ? states : states.reverse(), 1);
}

function check(name: string, { weight, bias }: LstmGates, expected: Shape): void {
  const fits = weight.shape.length === 2 && weight.shape.every((n, i) => n === expected[i]) &&
    bias.shape.length === 1 && bias.shape[0] === expected[0];
  if (!fits) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot run lstm: expected ${name} gates of shape ${showShape(expected)} and a bias [${
        expected[0]
      }] but found ` +
        `${showShape(weight.shape)} and ${showShape(bias.shape)}`,
    );
  }
}
