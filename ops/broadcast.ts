/** Broadcasting to a shape, and its adjoint: the sum over the axes along which a tensor was repeated. */
import {
  broadcast,
  defineOp,
  type Op,
  sameShape,
  type Shape,
  showShape,
  size,
  type Tensor,
} from "../tensor/mod.ts";
import { reshape } from "./movement.ts";
import { scalar } from "./scalar.ts";
import { rangeError } from "../errors/error.ts";

const sumOp: Op<number> = defineOp({
  name: "reduce",
  shape: ([x], axis) => [x!.shape.with(axis, 1)],
  run: (backend, [x], [y], axis) => {
    const outer = size(x!.shape.slice(0, axis));
    backend.reduce("sum", x!, outer, x!.shape[axis]!, size(x!.shape.slice(axis + 1)), y!);
  },
  vjp: ([x]) => ({ saved: [], pull: (g) => [broadcastTo(g, x!.shape)] }),
});

/** The sum over one axis, which is kept with size 1. */
export function sumAlong(x: Tensor, axis: number): Tensor {
  return sumOp([x], axis);
}

const broadcastOp: Op<Shape> = defineOp({
  name: "broadcast",
  shape: ([x], shape) => {
    if (!sameShape(broadcast("broadcast", x!.shape, shape), shape)) {
      throw rangeError("INVALID_TENSOR", `Cannot broadcast ${showShape(x!.shape)} to ${showShape(shape)}`);
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
  // Adjacent reduced axes are merged first, so that each pass is one contiguous reduction.
  let result = lead > 0
    ? reshape(
      sumAlong(reshape(x, [size(x.shape.slice(0, lead)), ...x.shape.slice(lead)]), 0),
      x.shape.slice(lead),
    )
    : x;
  shape.forEach((n, i) => {
    if (n === 1 && result.shape[i] !== 1) result = sumAlong(result, i);
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
