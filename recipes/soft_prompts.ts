/**
 * The stages of SPoT and IPT that need more than one adapter: trying sources, and training an autoencoder on many tasks.
 */
import {
  type Batch,
  leaves,
  lossAndGradients,
  type LossOptions,
  mapTree,
  type Method,
  type Model,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { add, divide } from "../ops/mod.ts";
import type { RankedSource } from "../methods/spot.ts";

/** A source that was tried, and its score on the target task. */
export interface TriedSource extends RankedSource {
  /** Higher is better. */
  readonly score: number;
}

/**
 * SPoT's BEST of top k: trains on the target task from each of the k most similar sources and keeps the best.
 *
 * @param tryOne Trains from a source and gives its score on held-out data; higher is better.
 * @throws {RangeError} when k is no positive integer or there is no source.
 */
export async function bestSource(
  ranked: readonly RankedSource[],
  k: number,
  tryOne: (name: string) => Promise<number>,
): Promise<{ readonly best: TriedSource; readonly tried: readonly TriedSource[] }> {
  if (!Number.isInteger(k) || k < 1) {
    throw new RangeError(`Expected k to be a positive integer but found ${k}`);
  }
  const tried: TriedSource[] = [];
  for (const source of ranked.slice(0, k)) tried.push({ ...source, score: await tryOne(source.name) });
  const [first, ...rest] = tried;
  if (first === undefined) throw new RangeError("Expected at least one source prompt but found none");
  return { best: rest.reduce((best, next) => next.score > best.score ? next : best, first), tried };
}

/**
 * Loss and gradients of parameters that several tasks share, the mean over the tasks: stage 2 of IPT, with the autoencoder
 * of each task and its batch.
 *
 * @param options `labelSmoothing` defaults to 0.1, as the authors have it.
 * @throws {RangeError} when there is no batch.
 */
export function iptGradients<P extends Tree>(
  model: Model,
  params: P,
  tasks: readonly { readonly method: Method<P>; readonly batch: Batch }[],
  options: LossOptions = {},
): { readonly value: Tensor; readonly gradients: Tree } {
  const each = tasks.map(({ method, batch }) =>
    lossAndGradients(model, { method, params }, batch, { labelSmoothing: 0.1, ...options })
  );
  const [first, ...rest] = each;
  if (first === undefined) throw new RangeError("Expected a batch of at least one task but found none");
  const others = rest.map(({ gradients }) => new Map(leaves(gradients)));
  return {
    value: divide(rest.reduce((sum, { value }) => add(sum, value), first.value), tasks.length),
    gradients: mapTree(
      first.gradients,
      (g, path) => divide(others.reduce((sum, other) => add(sum, other.get(path)!), g), tasks.length),
    ),
  };
}
