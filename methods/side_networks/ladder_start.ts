/** Where a ladder's side network starts: at the base's weights, pruned by importance as in its paper, or anew. */
import { type Batch, type BatchGradients, fisher, type Model, type Spec, type Tree } from "../../core/mod.ts";
import { count, oneOf, option, type Options } from "../../core/options/mod.ts";
import { prunedSide } from "./pruned_side.ts";

/** Where the side network starts. */
export const FIRST: Options = {
  initialization: option(oneOf("pruned", "random"), "the base's weights, pruned, or fresh ones", "pruned"),
  importance: option(
    oneOf("fisher", "magnitude"),
    "which weights are kept: those of largest Fisher information, or largest squares",
    "fisher",
  ),
  examples: option(count, "how many examples the Fisher information is of, at most", 1024),
};

/** The options of a run with those of its first weights. */
export interface FirstWeights {
  readonly reduction: number;
  readonly temperature: number;
  readonly layers?: readonly number[];
  readonly initialization: "pruned" | "random";
  readonly importance: "fisher" | "magnitude";
  readonly examples: number;
}

/** The base's weights pruned to those that the Fisher information of some examples calls important. */
export async function mostInformative(
  model: Model,
  reduction: number,
  batches: readonly Batch[],
  examples: number,
  gradients?: BatchGradients,
): Promise<Tree> {
  const ranked = new Set(
    model.spec.linears.filter(({ layer }) => layer !== undefined).map(({ path }) => `${path}.weight`),
  );
  const found = await fisher(model, batches, { parameters: (path) => ranked.has(path), examples, gradients });
  try {
    return await prunedSide(model, { reduction, importance: found.diagonal });
  } finally {
    found.dispose();
  }
}

/** The paper omits the first of every four blocks: 0, 4 and 8 of T5-base's stacks. */
export function besideMost({ stacks }: Spec): { readonly layers?: readonly number[] } {
  const all = Array.from({ length: Math.max(...stacks.map(({ layers }) => layers)) }, (_, i) => i);
  const layers = all.filter((i) => i % 4 !== 0);
  return layers.length === 0 ? {} : { layers };
}
