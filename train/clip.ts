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

/** The Euclidean norm over all gradients, a scalar tensor. */
export function globalNorm(gradients: Tree): Tensor {
  return sqrt(addAll(leaves(gradients).map(([, g]) => scope((): Synchronous<Tensor> => sumOfSquares(g)))));
}

/** The factor that brings a norm down to `limit`, as torch.nn.utils.clip_grad_norm_: limit / (norm + 1e-6), at most 1. */
export function clipFactor(norm: number, limit: number): number {
  return Math.min(1, limit / (norm + 1e-6));
}

/** Gradients of which each group is brought down to `limit` by itself. Takes the given ones over. */
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

/** Gradients times a number. */
export function scaleGradients(gradients: Tree, factor: number): Tree {
  return factor === 1 ? gradients : mapTree(gradients, (g) => multiply(g, factor));
}
