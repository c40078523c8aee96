/** The choice between two tensors, element by element. */
import { broadcast, defineOp, type Op, type Shape, type Tensor } from "../tensor/mod.ts";
import { sumTo } from "./broadcast.ts";
import { scalar } from "./scalar.ts";

const selectOp: Op<Shape> = defineOp({
  name: "select",
  shape: (_, shape) => [shape],
  run: (backend, [c, a, b], [y]) => backend.select(c!, a!, b!, y!),
  vjp: ([c, a, b], [y], _, needs) => ({
    saved: [c!],
    pull: (g) => {
      const zero = scalar(0, g.backend);
      const part = (yes: Tensor, no: Tensor, shape: Shape): Tensor =>
        sumTo(selectOp([c!, yes, no], y!.shape), shape);
      return [
        undefined,
        needs[1] ? part(g, zero, a!.shape) : undefined,
        needs[2] ? part(zero, g, b!.shape) : undefined,
      ];
    },
  }),
});

/**
 * a where the condition is not 0, else b; all three broadcast.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { less, multiply, select } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([-2, 3], { backend: reference() });
 * const negative = less(x, 0);
 * assert.deepEqual([...await read(select(negative, multiply(x, 10), x))], [-20, 3]);
 * ```
 */
export function select(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  const shape = broadcast("select", condition.shape, broadcast("select", a.shape, b.shape));
  return selectOp([condition, a, b], shape);
}
