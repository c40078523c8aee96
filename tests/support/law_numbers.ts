/** What laws measure: logits, losses, gradients, differences of losses, storages. */
import assert from "node:assert/strict";
import {
  forward,
  type ForwardOptions,
  graft,
  leaves,
  loss,
  lossAndGradients,
  mapTree,
  type Model,
  read,
  scope,
  type Storage,
  tensor,
  tensorsIn,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import { add } from "../../ops/mod.ts";
import type { Subject } from "./subject.ts";

/** Numbers by name. */
export type Numbers = ReadonlyMap<string, Float32Array>;

/** Logits, loss and gradients in training mode. */
export async function everything({ model, adapter, batch, key }: Subject): Promise<Numbers> {
  const result = new Map([["logits", await logitsOf(graft(model, adapter), batch)]]);
  const { value, gradients } = lossAndGradients(model, adapter, batch, { train: true, key });
  // All reads at once: on a GPU each would wait for a round of its own.
  const named = [["loss", value] as const, ...leaves(gradients)];
  const numbers = await Promise.all(named.map(([, t]) => read(t)));
  named.forEach(([path], i) => result.set(path, numbers[i]!));
  free([value, gradients]);
  return result;
}

/** Logits in evaluation mode. */
export async function logitsOf(model: Model, batch: Subject["batch"]): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** The derivative of the loss along a direction of one leaf, by five-point differences. */
export async function differenceAlong(
  { model, adapter, batch, backend }: Subject,
  path: string,
  direction: ArrayLike<number>,
  h: number,
  options: ForwardOptions,
): Promise<number> {
  const at = async (step: number): Promise<number> => {
    const value = scope(() => {
      const params = mapTree(
        adapter.params,
        (t, p) =>
          p === path
            ? add(t, tensor(Array.from(direction, (x) => x * step), { backend, shape: t.shape }))
            : t,
      );
      const data = loss(graft(model, { ...adapter, params }), batch, options);
      const penalty = adapter.method.penalty?.(params, model.spec);
      return penalty === undefined ? data : add(data, penalty);
    });
    const [number] = await read(value);
    value.storage.free();
    return number!;
  };
  return (8 * (await at(h) - await at(-h)) - (await at(2 * h) - await at(-2 * h))) / (12 * h);
}

/** The largest magnitude. */
export const largest = (x: readonly number[]): number => x.reduce((m, y) => Math.max(m, Math.abs(y)), 0);

/** A direction along one axis. */
export const unit = (n: number, i: number): readonly number[] =>
  Array.from({ length: n }, (_, j) => j === i ? 1 : 0);

/** Pairs of two lists of one length. */
export function zip<A, B>(a: readonly A[], b: readonly B[]): readonly (readonly [A, B])[] {
  assert.equal(a.length, b.length);
  return a.map((x, i) => [x, b[i]!] as const);
}

/** Storages that an init made, without those that it took from elsewhere (experts). */
export function bornIn(params: Tree, model: Model): ReadonlySet<Storage> {
  const base = new Set(weightLeaves(model.weights).map(([, t]) => t.storage));
  return new Set(
    leaves(params).map(([, t]) => t.storage).filter((s) => !base.has(s) && s.owner === undefined),
  );
}

/** Frees what inits made. */
export function disposeBorn(trees: readonly Tree[], model: Model): void {
  for (const tree of trees) for (const storage of bornIn(tree, model)) storage.free();
}

/** Frees every tensor of a nest. */
export function free(value: unknown): void {
  for (const t of tensorsIn(value)) t.storage.free();
}
