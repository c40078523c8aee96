/**
 * How a parameter starts: its shape, and its first values, drawn from a key. A method says both in one word, and the shape is
 * known without drawing.
 */
import type { Backend, Key, Shape, Tensor } from "../../core/mod.ts";
import * as ops from "../../ops/mod.ts";

/** A parameter before it is made. */
export interface Initial {
  /** Its shape. */
  readonly shape: Shape;
  /** Its first values, determined by the key. */
  make(key: Key, backend: Backend): Tensor;
}

/**
 * Zeros.
 *
 * @example
 * ```ts
 * import { initial } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(initial.zeros([16, 4]).shape, [16, 4]);
 * ```
 */
export const zeros = (shape: Shape): Initial => ({ shape, make: (_, backend) => ops.zeros(shape, backend) });

/**
 * Ones.
 *
 * @example
 * ```ts
 * import { initial, key, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(initial.ones([2]).make(key(0), reference()))], [1, 1]);
 * ```
 */
export const ones = (shape: Shape): Initial => ({ shape, make: (_, backend) => ops.ones(shape, backend) });

/**
 * One number throughout.
 *
 * @example
 * ```ts
 * import { initial, key, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(initial.full([2], 0.5).make(key(0), reference()))], [0.5, 0.5]);
 * ```
 */
export const full = (shape: Shape, value: number): Initial => ({
  shape,
  make: (_, backend) => ops.full(shape, value, backend),
});

/**
 * Normal, with a standard deviation, default 1.
 *
 * @example
 * ```ts
 * import { initial } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(initial.normal([8, 16], 0.02).shape, [8, 16]);
 * ```
 */
export const normal = (shape: Shape, deviation?: number): Initial => ({
  shape,
  make: (key, backend) => ops.normal(key, shape, backend, deviation),
});

/**
 * Uniform between two numbers.
 *
 * @example
 * ```ts
 * import { initial } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(initial.uniform([8], -1, 1).shape, [8]);
 * ```
 */
export const uniform = (shape: Shape, low: number, high: number): Initial => ({
  shape,
  make: (key, backend) => ops.uniform(key, shape, backend, low, high),
});

/**
 * Uniform in ±1/√columns: He's initialisation with a = √5, PyTorch's default for a linear layer.
 *
 * @example
 * ```ts
 * import { initial } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(initial.kaiming([8, 16]).shape, [8, 16]);
 * ```
 */
export const kaiming = (shape: readonly [rows: number, columns: number]): Initial => {
  const bound = 1 / Math.sqrt(shape[1]);
  return uniform(shape, -bound, bound);
};
