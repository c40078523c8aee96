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
import type { RankedSource } from "../methods/soft_prompts/spot.ts";
import { rangeError } from "../errors/error.ts";

/** A source with its score on the target task after training. */
export interface TriedSource extends RankedSource {
  /** Higher is better. */
  readonly score: number;
}

/**
 * SPoT's BEST of top k: trains on the target task from each of the k most similar sources and keeps the best.
 *
 * @param tryOne Trains from a source and returns its score on held-out data; higher is better.
 * @throws {RangeError} when k is not a positive integer or there is no source.
 * @example
 * ```ts
 * import { bestSource } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const ranked = [{ name: "mnli", similarity: 0.9 }, { name: "sst2", similarity: 0.6 }, { name: "qqp", similarity: 0.1 }];
 * const heldOut: Readonly<Record<string, number>> = { mnli: 0.71, sst2: 0.74 };
 * const { best, tried } = await bestSource(ranked, 2, (name) => Promise.resolve(heldOut[name]!));
 * assert.deepEqual([best.name, tried.length], ["sst2", 2]); // the most similar one is not always the best
 * ```
 */
export async function bestSource(
  ranked: readonly RankedSource[],
  k: number,
  tryOne: (name: string) => Promise<number>,
): Promise<{ readonly best: TriedSource; readonly tried: readonly TriedSource[] }> {
  if (!Number.isInteger(k) || k < 1) {
    throw rangeError("INVALID_ARGUMENT", `Expected k to be a positive integer but found ${k}`);
  }
  const tried: TriedSource[] = [];
  for (const source of ranked.slice(0, k)) tried.push({ ...source, score: await tryOne(source.name) });
  const [first, ...rest] = tried;
  if (first === undefined) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one source prompt but found none");
  }
  return { best: rest.reduce((best, next) => next.score > best.score ? next : best, first), tried };
}

/**
 * Loss and gradients of parameters shared by several tasks, averaged over the tasks: stage 2 of IPT, with the
 * autoencoder of each task and its batch.
 *
 * @param options `labelSmoothing` defaults to 0.1, as in the authors' code.
 * @throws {RangeError} when there is no batch.
 * @example
 * ```ts
 * import { freshModel, iptAutoencoder, leaves, promptTuning, reference, smallConfig, tensor } from "@graft/peft";
 * import { iptGradients } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const model = freshModel(smallConfig("llama", { width: 4 }), { backend, key: 0 });
 * const prompt = (x: number) => ({
 *   method: promptTuning({ length: 1 }),
 *   params: { rows: tensor([[x, 0, 1, 2]], { backend }) },
 * });
 * const prompts = { sums: prompt(1), dates: prompt(2) };
 * const methodOf = (task: string) => iptAutoencoder({ prompts, task, intrinsic: 3 });
 * const params = methodOf("sums").init({ model, key: 0 });
 * const batch = { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] };
 * const tasks = Object.keys(prompts).map((task) => ({ method: methodOf(task), batch }));
 * const { value, gradients } = iptGradients(model, params, tasks);
 * assert.deepEqual(value.shape, []);
 * assert.ok(leaves(gradients).every(([path]) => /^(encoder|decoder)\./.test(path)));
 * ```
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
  if (first === undefined) {
    throw rangeError("INVALID_ARGUMENT", "Expected a batch of at least one task but found none");
  }
  const others = rest.map(({ gradients }) => new Map(leaves(gradients)));
  return {
    value: divide(rest.reduce((sum, { value }) => add(sum, value), first.value), tasks.length),
    gradients: mapTree(
      first.gradients,
      (g, path) => divide(others.reduce((sum, other) => add(sum, other.get(path)!), g), tasks.length),
    ),
  };
}
