/**
 * How a token is distributed over experts: λ = softmax(logits / τ); optionally only the k largest are kept,
 * as they are or renormalized by a second softmax.
 */
import { detach, type Tensor, tensor } from "../../core/mod.ts";
import { add, divide, equal, less, multiply, reshape, scalar, select, softmax, sum } from "../../ops/mod.ts";

/** Options of `expertShares`. */
export interface ShareOptions {
  /** τ, default 1, or "none" to take the router's outputs as they are. */
  readonly temperature?: number | "none";
  /** How many experts a token keeps; default all. */
  readonly topK?: number;
  /** What follows top-k: nothing ("keep", default) or a softmax over the chosen experts. */
  readonly chosen?: "keep" | "softmax";
}

/** Shares [..., K] of a router's outputs [..., K]. */
export function expertShares(
  logits: Tensor,
  { temperature = 1, topK, chosen = "keep" }: ShareOptions,
): Tensor {
  const λ = temperature === "none" ? logits : softmax(divide(logits, temperature));
  if (topK === undefined || topK >= logits.shape.at(-1)!) return chosen === "softmax" ? softmax(λ) : λ;
  const kept = among(detach(λ), topK);
  return chosen === "softmax" ? softmax(select(kept, λ, scalar(-Infinity, λ.backend))) : multiply(λ, kept);
}

/** 1 at the k largest of the last axis (the first ones on ties), else 0. */
function among(x: Tensor, k: number): Tensor {
  const n = x.shape[x.shape.length - 1]!;
  const [mine, theirs] = [reshape(x, [...x.shape, 1]), reshape(x, [...x.shape.slice(0, -1), 1, n])];
  const earlier = tensor(
    Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => j < i ? 1 : 0)),
    { backend: x.backend },
  );
  const ahead = add(less(mine, theirs), multiply(equal(mine, theirs), earlier)); // [..., n, n]
  return less(sum(ahead, { axis: -1 }), k);
}
