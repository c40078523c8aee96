/** Reductions over axes. */
import { axisOf, defineOp, type Op, type ReduceOp, size, type Tensor } from "../tensor/mod.ts";
import { equal, multiply } from "./binary.ts";
import { sumAlong } from "./broadcast.ts";
import { reshape } from "./movement.ts";

interface Range {
  readonly op: Exclude<ReduceOp, "sum">;
  readonly axis: number;
}

const extremeOp: Op<Range> = defineOp({
  name: "reduce",
  shape: ([x], { axis }) => [x!.shape.with(axis, 1)],
  run: (backend, [x], [y], { op, axis }) => {
    const outer = size(x!.shape.slice(0, axis));
    backend.reduce(op, x!, outer, x!.shape[axis]!, size(x!.shape.slice(axis + 1)), y!);
  },
  // On ties each element gets the whole gradient, which is a subgradient.
  vjp: ([x], [y]) => ({ saved: [x!, y!], pull: (g) => [multiply(equal(x!, y!), g)] }),
});

/** One axis reduced, which is kept with size 1. */
function reduceAlong(op: ReduceOp, x: Tensor, axis: number): Tensor {
  return op === "sum" ? sumAlong(x, axis) : extremeOp([x], { op, axis });
}

/** Which axes to reduce, and whether they are kept with size 1. */
export interface ReduceOptions {
  /** Default: all axes, to a scalar []. */
  readonly axis?: number | readonly number[];
  /** Keep the reduced axis with size 1. Default false. */
  readonly keepAxes?: boolean;
}

function reduce(op: ReduceOp, x: Tensor, options: ReduceOptions): Tensor {
  if (options.axis === undefined) {
    const flat = reduceAlong(op, reshape(x, [x.size]), 0);
    return reshape(flat, options.keepAxes ? x.shape.map(() => 1) : []);
  }
  const axes = (typeof options.axis === "number" ? [options.axis] : options.axis).map((a) =>
    axisOf(op, x.shape, a)
  );
  const kept = axes.reduce((t, axis) => reduceAlong(op, t, axis), x);
  return options.keepAxes ? kept : reshape(kept, x.shape.filter((_, i) => !axes.includes(i)));
}

/**
 * Sum over all axes or the given ones.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2], [3, 4]], { backend: reference() });
 * assert.deepEqual([...await read(sum(x, { axis: 0 }))], [4, 6]);
 * ```
 */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce("sum", x, options);
}

/**
 * Largest element.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { max } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 9], [5, 2]], { backend: reference() });
 * assert.deepEqual([...await read(max(x, { axis: 1 }))], [9, 5]);
 * ```
 */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce("max", x, options);
}

/**
 * Smallest element.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { min } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 9], [5, 2]], { backend: reference() });
 * assert.deepEqual([...await read(min(x))], [1]); // over all axes
 * ```
 */
export function min(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce("min", x, options);
}

/**
 * Arithmetic mean.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { mean } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 9], [5, 2]], { backend: reference() });
 * assert.deepEqual([...await read(mean(x, { axis: 0 }))], [3, 5.5]);
 * ```
 */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const total = sum(x, options);
  return multiply(total, total.size / x.size);
}

/**
 * Euclidean norm over all axes or the given ones.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sumOfSquares } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([3, 4], { backend: reference() });
 * assert.deepEqual([...await read(sumOfSquares(x))], [25]);
 * ```
 */
export function sumOfSquares(x: Tensor, options: ReduceOptions = {}): Tensor {
  return sum(multiply(x, x), options);
}
