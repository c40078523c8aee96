/** Reductions over axes, and their inverse, broadcasting. */
import {
  axisOf,
  broadcast,
  defineOp,
  type Op,
  type ReduceOp,
  sameShape,
  type Shape,
  showShape,
  size,
  type Tensor,
} from "../tensor/mod.ts";
import { equal, multiply } from "./binary.ts";
import { scalar } from "./scalar.ts";
import { reshape } from "./movement.ts";

interface Range {
  readonly op: ReduceOp;
  readonly axis: number;
}

const keepShape = (shape: Shape, axis: number): Shape => shape.map((n, i) => i === axis ? 1 : n);

const reduceOp: Op<Range> = defineOp({
  name: "reduce",
  shape: ([x], { axis }) => [keepShape(x!.shape, axis)],
  run: (backend, [x], [y], { op, axis }) => {
    const outer = size(x!.shape.slice(0, axis));
    backend.reduce(op, x!, outer, x!.shape[axis]!, size(x!.shape.slice(axis + 1)), y!);
  },
  vjp: ([x], [y], { op }) =>
    op === "sum"
      ? { saved: [], pull: (g) => [broadcastTo(g, x!.shape)] }
      // Ties share the whole gradient each, as a subgradient.
      : { saved: [x!, y!], pull: (g) => [multiply(equal(x!, y!), g)] },
});

/** Which axes to reduce, and whether they stay with size 1. */
export interface ReduceOptions {
  /** Default: all axes, to a scalar []. */
  readonly axis?: number | readonly number[];
  /** Keep the reduced axis with size 1. Default false. */
  readonly keepAxes?: boolean;
}

function reduce(op: ReduceOp, x: Tensor, options: ReduceOptions): Tensor {
  if (options.axis === undefined) {
    const flat = reduceOp([reshape(x, [x.size])], { op, axis: 0 });
    return reshape(flat, options.keepAxes ? x.shape.map(() => 1) : []);
  }
  const axes = (typeof options.axis === "number" ? [options.axis] : options.axis).map((a) =>
    axisOf(op, x.shape, a)
  );
  const kept = axes.reduce((t, axis) => reduceOp([t], { op, axis }), x);
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

const broadcastOp: Op<Shape> = defineOp({
  name: "broadcast",
  shape: ([x], shape) => {
    if (!sameShape(broadcast("broadcast", x!.shape, shape), shape)) {
      throw new RangeError(`Cannot broadcast ${showShape(x!.shape)} to ${showShape(shape)}`);
    }
    return [shape];
  },
  run: (backend, [x], [y]) => backend.binary("add", x!, scalar(0, backend), y!),
  vjp: ([x]) => ({ saved: [], pull: (g) => [sumTo(g, x!.shape)] }),
});

/**
 * x repeated along axes of size 1 (and new leading axes) to a shape.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { broadcastTo } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1], [2]], { backend: reference() });
 * assert.deepEqual([...await read(broadcastTo(x, [2, 3]))], [1, 1, 1, 2, 2, 2]);
 * ```
 */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : broadcastOp([x], shape);
}

/**
 * x summed over the axes along which `shape` was broadcast: the adjoint of `broadcastTo`.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sumTo } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2], [3, 4]], { backend: reference() });
 * // The gradient of what was broadcast along axis 0.
 * assert.deepEqual([...await read(sumTo(x, [2]))], [4, 6]);
 * ```
 */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  // Neighbouring axes that go away are merged first, so that each pass is one contiguous reduction.
  let result = lead > 0
    ? sum(reshape(x, [size(x.shape.slice(0, lead)), ...x.shape.slice(lead)]), { axis: 0 })
    : x;
  shape.forEach((n, i) => {
    if (n === 1 && result.shape[i] !== 1) result = sum(result, { axis: i, keepAxes: true });
  });
  return result;
}

/**
 * x, expanded to a shape when it is smaller.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { expand } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.deepEqual([...await read(expand(x, [2, 2]))], [1, 2, 1, 2]);
 * assert.equal(expand(x, [2]), x);
 * ```
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : broadcastTo(x, shape);
}
