/** Elementwise ops of two tensors with broadcasting, and their derivatives. */
import { type BinaryOp, broadcast, defineOp, type Op, type Pullback, Tensor } from "../tensor/mod.ts";
import { sumTo } from "./reduce.ts";
import { scalar } from "./scalar.ts";
import { log, negate, square } from "./unary.ts";

/** Gradients of a and b in op(a, b), before they are summed back to the inputs' shapes. */
function slopes(op: BinaryOp, a: Tensor, b: Tensor, needs: readonly boolean[]): Pullback {
  const to = (saved: readonly Tensor[], da: (g: Tensor) => Tensor, db: (g: Tensor) => Tensor): Pullback => ({
    saved,
    pull: (g) => [needs[0] ? sumTo(da(g), a.shape) : undefined, needs[1] ? sumTo(db(g), b.shape) : undefined],
  });
  const same = (g: Tensor): Tensor => g;
  switch (op) {
    case "add":
      return to([], same, same);
    case "subtract":
      return to([], same, negate);
    case "multiply":
      return to(
        [...needs[0] ? [b] : [], ...needs[1] ? [a] : []],
        (g) => multiply(g, b),
        (g) => multiply(g, a),
      );
    case "divide":
      return to(
        needs[1] ? [a, b] : [b],
        (g) => divide(g, b),
        (g) => negate(multiply(g, divide(a, square(b)))),
      );
    case "maximum": // where equal the gradient goes to a
      return to([a, b], (g) => multiply(g, lessEqual(b, a)), (g) => multiply(g, less(a, b)));
    case "minimum":
      return to([a, b], (g) => multiply(g, lessEqual(a, b)), (g) => multiply(g, less(b, a)));
    case "power":
      return to(
        [a, b],
        (g) => multiply(g, multiply(b, power(a, subtract(b, 1)))),
        (g) => multiply(g, multiply(power(a, b), log(a))),
      );
    case "equal":
    case "less":
    case "lessEqual":
      return { saved: [], pull: () => [undefined, undefined] };
    default:
      return op satisfies never;
  }
}

/** An elementwise op of two tensors; a number stands for a scalar. */
export type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;

function binary(op: BinaryOp): Binary {
  const run: Op<undefined> = defineOp({
    name: op,
    shape: ([a, b]) => [broadcast(op, a!.shape, b!.shape)],
    run: (backend, [a, b], [y]) => backend.binary(op, a!, b!, y!),
    vjp: ([a, b], _, __, needs) => slopes(op, a!, b!, needs),
  });
  return (a, b) => {
    if (a instanceof Tensor) return run([a, b instanceof Tensor ? b : scalar(b, a.backend)], undefined);
    if (b instanceof Tensor) return run([scalar(a, b.backend), b], undefined);
    throw new TypeError(`Expected a tensor in ${op} but found two numbers`);
  };
}

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
export const add: Binary = binary("add");
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
export const subtract: Binary = binary("subtract");
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
export const multiply: Binary = binary("multiply");
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
export const divide: Binary = binary("divide");
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
export const maximum: Binary = binary("maximum");
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
export const minimum: Binary = binary("minimum");
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
export const power: Binary = binary("power");
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
export const equal: Binary = binary("equal");
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
export const less: Binary = binary("less");
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
export const lessEqual: Binary = binary("lessEqual");

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
