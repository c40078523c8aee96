/** Tensors from a rule: constants and random numbers. */
import {
  allocate,
  type Backend,
  fold,
  type Key,
  scope,
  type Shape,
  size,
  type Synchronous,
  type Tensor,
} from "../tensor/mod.ts";
import { add, lessEqual, maximum, minimum, multiply } from "./binary.ts";
import { select } from "./select.ts";
import { abs, cos, log, sqrt } from "./unary.ts";
import { concat, reshape } from "./movement.ts";

/**
 * A tensor filled with one value.
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { full } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(full([2], 7, reference()))], [7, 7]);
 * ```
 */
export function full(shape: Shape, value: number, backend: Backend): Tensor {
  const result = allocate(backend, shape);
  backend.fill(value, result);
  return result;
}

/**
 * Zeros.
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(zeros([2], reference()))], [0, 0]);
 * ```
 */
export function zeros(shape: Shape, backend: Backend): Tensor {
  return full(shape, 0, backend);
}

/**
 * Ones.
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(ones([2], reference()))], [1, 1]);
 * ```
 */
export function ones(shape: Shape, backend: Backend): Tensor {
  return full(shape, 1, backend);
}

/**
 * Uniform in [low, high): a function of the key alone, from the same random bits on every backend.
 *
 * @example
 * ```ts
 * import { key, read, reference } from "@graft/peft";
 * import { uniform } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const numbers = await read(uniform(key(0), [1000], reference(), -1, 1));
 * assert.ok(numbers.every((x) => x >= -1 && x < 1));
 * assert.deepEqual(numbers, await read(uniform(key(0), [1000], reference(), -1, 1))); // the key decides
 * ```
 */
export function uniform(key: Key, shape: Shape, backend: Backend, low = 0, high = 1): Tensor {
  const result = allocate(backend, shape);
  backend.uniform(key, result);
  return low === 0 && high === 1 ? result : add(multiply(result, high - low), low);
}

/**
 * Number of values that `normal` draws at a time: its temporary memory is several times that of the result.
 */
const DRAWN_AT_ONCE = 1 << 20;

/**
 * Normal with the given standard deviation, by the Box–Muller transform of two uniform streams.
 *
 * @example
 * ```ts
 * import { key, read, reference } from "@graft/peft";
 * import { normal } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const numbers = await read(normal(key(0), [4096], reference(), 0.5));
 * const variance = numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length;
 * assert.ok(Math.abs(Math.sqrt(variance) - 0.5) < 0.02);
 * ```
 */
export function normal(key: Key, shape: Shape, backend: Backend, deviation = 1): Tensor {
  const n = size(shape);
  if (n > DRAWN_AT_ONCE) {
    return scope((): Synchronous<Tensor> => {
      const parts = Array.from({ length: Math.ceil(n / DRAWN_AT_ONCE) }, (_, i) => {
        const length = Math.min(DRAWN_AT_ONCE, n - i * DRAWN_AT_ONCE);
        return normal(fold(key, i), [length], backend, deviation);
      });
      return reshape(concat(parts, 0), shape);
    });
  }
  return scope((): Synchronous<Tensor> => {
    const radius = sqrt(multiply(log(uniform(fold(key, 0), [n], backend, 1, 0)), -2)); // of u in (0, 1]
    const angle = multiply(uniform(fold(key, 1), [n], backend), 2 * Math.PI);
    return reshape(multiply(multiply(radius, cos(angle)), deviation), shape);
  });
}

/**
 * Normal, truncated at two standard deviations. Each element is the first of eight draws within the bounds
 * (one draw in 22 is not; all eight fail once in 5e10, and the last is then clipped).
 *
 * @example
 * ```ts
 * import { key, read, reference } from "@graft/peft";
 * import { truncatedNormal } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const numbers = await read(truncatedNormal(key(0), [4096], reference(), 0.5));
 * assert.ok(numbers.every((x) => Math.abs(x) <= 1)); // two standard deviations
 * ```
 */
export function truncatedNormal(key: Key, shape: Shape, backend: Backend, deviation = 1): Tensor {
  const draws = Array.from({ length: 8 }, (_, i) => normal(fold(key, i), shape, backend));
  const clipped = maximum(minimum(draws[7]!, 2), -2);
  const first = draws.slice(0, 7).reduceRight((rest, x) => select(lessEqual(abs(x), 2), x, rest), clipped);
  return multiply(first, deviation);
}

/**
 * Integers as an i32 tensor [n].
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { integers } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const ids = integers([3, 1], reference());
 * assert.deepEqual([ids.dtype, ids.shape, ...await read(ids)], ["i32", [2], 3, 1]);
 * ```
 */
export function integers(
  values: ArrayLike<number>,
  backend: Backend,
  shape: Shape = [values.length],
): Tensor {
  const result = allocate(backend, shape, "i32");
  backend.upload(result.raw, new Uint8Array(Int32Array.from(values).buffer));
  return result;
}

/**
 * The identity matrix [n, n].
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { identity } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(identity(2, reference()))], [1, 0, 0, 1]);
 * ```
 */
export function identity(n: number, backend: Backend): Tensor {
  const flat = allocate(backend, [n * n]);
  backend.scatterAddRows(
    ones([n], backend),
    integers(Array.from({ length: n }, (_, i) => i * (n + 1)), backend),
    flat,
  );
  return reshape(flat, [n, n]);
}
