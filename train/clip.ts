/** Gradient clipping. */
import {
  dispose,
  leaves,
  mapTree,
  nest,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { addAll, multiply, sqrt, sumOfSquares } from "../ops/mod.ts";

/**
 * The Euclidean norm over all gradients, a scalar tensor.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { globalNorm } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const gradients = { a: tensor([3, 0], { backend }), b: tensor([4], { backend }) };
 * assert.deepEqual([...await read(globalNorm(gradients))], [5]);
 * ```
 */
export function globalNorm(gradients: Tree): Tensor {
  return sqrt(addAll(leaves(gradients).map(([, g]) => scope((): Synchronous<Tensor> => sumOfSquares(g)))));
}

/**
 * The factor that reduces a norm to `limit`, as in torch.nn.utils.clip_grad_norm_: limit / (norm + 1e-6), at
 * most 1.
 *
 * @example
 * ```ts
 * import { clipFactor } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(clipFactor(4, 1) - 0.25) < 1e-6);
 * assert.equal(clipFactor(0.5, 1), 1); // short enough already
 * ```
 */
export function clipFactor(norm: number, limit: number): number {
  return Math.min(1, limit / (norm + 1e-6));
}

/**
 * Clips the gradients of each group to `limit` separately. Takes ownership of the given gradients.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { clippedApart } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const gradients = { gate: tensor([8], { backend }), weight: tensor([0.5], { backend }) };
 * const { gate, weight } = await clippedApart(gradients, 1, (path) => path) as typeof gradients;
 * assert.ok(Math.abs((await read(gate))[0]! - 1) < 1e-6);
 * assert.deepEqual([...await read(weight)], [0.5]); // not pulled down by its neighbour
 * ```
 */
export async function clippedApart(
  gradients: Tree,
  limit: number,
  groupOf: (path: string) => string,
): Promise<Tree> {
  const factors = new Map<string, number>();
  for (const group of new Set(leaves(gradients).map(([path]) => groupOf(path)))) {
    const own = leaves(gradients).filter(([path]) => groupOf(path) === group);
    const norm = scope((): Synchronous<Tensor> => globalNorm(nest(own) as Tree));
    factors.set(group, clipFactor((await read(norm))[0]!, limit));
    dispose(norm);
  }
  const clipped = scope((): Synchronous<Tree> =>
    mapTree(gradients, (g, path) => multiply(g, factors.get(groupOf(path))!))
  );
  dispose(gradients);
  return clipped;
}

/**
 * Gradients times a scalar.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { scaleGradients } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const gradients = { a: tensor([2, 6], { backend: reference() }) };
 * const halved = scaleGradients(gradients, 0.5) as typeof gradients;
 * assert.deepEqual([...await read(halved.a)], [1, 3]);
 * ```
 */
export function scaleGradients(gradients: Tree, factor: number): Tree {
  return factor === 1 ? gradients : mapTree(gradients, (g) => multiply(g, factor));
}
