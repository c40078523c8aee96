/** Gradient clipping. */
import { leaves, mapTree, scope, type Synchronous, type Tensor, type Tree } from "../core/mod.ts";
import { addAll, multiply, sqrt, sumOfSquares } from "../ops/mod.ts";

/** The Euclidean norm over all gradients, a scalar tensor. */
export function globalNorm(gradients: Tree): Tensor {
  return sqrt(addAll(leaves(gradients).map(([, g]) => scope((): Synchronous<Tensor> => sumOfSquares(g)))));
}

/** The factor that brings a norm down to `limit`, as torch.nn.utils.clip_grad_norm_: limit / (norm + 1e-6), at most 1. */
export function clipFactor(norm: number, limit: number): number {
  return Math.min(1, limit / (norm + 1e-6));
}

/** Gradients times a number. */
export function scaleGradients(gradients: Tree, factor: number): Tree {
  return factor === 1 ? gradients : mapTree(gradients, (g) => multiply(g, factor));
}
