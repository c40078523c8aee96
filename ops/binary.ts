/** Elementwise ops of two tensors with broadcasting. */
import type { Tensor } from "../tensor/mod.ts";
import { BINARY, type Binary } from "./elementwise.ts";

export type { Binary };

/**
 * a + b.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { add } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2], [3, 4]], { backend: reference() });
 * assert.deepEqual([...await read(add(x, 10))], [11, 12, 13, 14]);
 * assert.deepEqual([...await read(add(x, tensor([10, 20], { backend: x.backend })))], [11, 22, 13, 24]);
 * ```
 */
export const add: Binary = BINARY.add;
/**
 * a − b.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { subtract } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.deepEqual([...await read(subtract(1, x))], [0, -1]);
 * ```
 */
export const subtract: Binary = BINARY.subtract;
/**
 * a ⊙ b.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { multiply } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2], [3, 4]], { backend: reference() });
 * const rows = tensor([[10], [100]], { backend: x.backend });
 * assert.deepEqual([...await read(multiply(x, rows))], [10, 20, 300, 400]); // [2, 2] ⊙ [2, 1]
 * ```
 */
export const multiply: Binary = BINARY.multiply;
/**
 * a / b.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { divide } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.deepEqual([...await read(divide(x, 4))], [0.25, 0.5]);
 * ```
 */
export const divide: Binary = BINARY.divide;
/**
 * The larger of both.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { maximum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([-1, 2], { backend: reference() });
 * assert.deepEqual([...await read(maximum(x, 0))], [0, 2]);
 * ```
 */
export const maximum: Binary = BINARY.maximum;
/**
 * The smaller of both.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { minimum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([-1, 2], { backend: reference() });
 * assert.deepEqual([...await read(minimum(x, 0))], [-1, 0]);
 * ```
 */
export const minimum: Binary = BINARY.minimum;
/**
 * aᵇ.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { power } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(power(tensor([2, 3], { backend: reference() }), 3))], [8, 27]);
 * ```
 */
export const power: Binary = BINARY.power;
/**
 * 1 where a = b, else 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { equal } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 2], { backend: reference() });
 * assert.deepEqual([...await read(equal(x, 2))], [0, 1, 1]);
 * ```
 */
export const equal: Binary = BINARY.equal;
/**
 * 1 where a < b, else 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { less } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 3], { backend: reference() });
 * assert.deepEqual([...await read(less(x, 2))], [1, 0, 0]);
 * ```
 */
export const less: Binary = BINARY.less;
/**
 * 1 where a ≤ b, else 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { lessEqual } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 3], { backend: reference() });
 * assert.deepEqual([...await read(lessEqual(x, 2))], [1, 1, 0]);
 * ```
 */
export const lessEqual: Binary = BINARY.lessEqual;

/**
 * The sum of several tensors of one shape.
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { addAll, full } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const parts = [1, 20, 300].map((n) => full([2], n, backend));
 * assert.deepEqual([...await read(addAll(parts))], [321, 321]);
 * ```
 */
export function addAll(parts: readonly Tensor[]): Tensor {
  return parts.reduce((a, b) => add(a, b));
}
