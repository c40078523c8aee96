/**
 * DiffPruning's three stages (arXiv 2012.07463, section 3): differences and gates together; projection to the
 * target sparsity; training of the kept differences alone. The gradients of gates and differences are clipped
 * separately, as in the authors' code.
 */
import { adapt, type Adapter, dispose, type Model } from "../core/mod.ts";
import {
  diffPruning,
  type DiffPruningOptions,
  gatedSize,
  isGate,
} from "../methods/selective/diff_pruning.ts";
import { keptCount, prunedDiff, type PrunedDiffOptions } from "../methods/selective/pruned_diff.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, trainStage } from "./stage.ts";

/** Options of the stages. */
export interface DiffPruningRecipe extends PrunedDiffOptions {
  /** Options of the first stage's method. */
  readonly method?: DiffPruningOptions;
  /** The first stage. The authors: δ at 1e-5 to 5e-5, 3 epochs. */
  readonly gated: StageOptions;
  /** The last stage. */
  readonly fixed: StageOptions;
  /** Seed for all random choices, default 0. */
  readonly seed?: number;
}

/**
 * Trains by DiffPruning. The result contains only the kept differences; the caller owns it.
 *
 * @example
 * ```ts
 * import { count, freshModel, gatedSize, reference, smallConfig, trainDiffPruning } from "@graft/peft";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { layers: 1 }), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const stage = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, pad: 0 } as const;
 * const adapter = await trainDiffPruning(model, rows, { ratio: 0.01, gated: stage, fixed: stage });
 * assert.equal(count(model, adapter).trainable, Math.floor(0.01 * gatedSize(model)));
 * ```
 */
export async function trainDiffPruning(
  model: Model,
  rows: Rows,
  recipe: DiffPruningRecipe,
): Promise<Adapter> {
  keptCount(gatedSize(model, recipe.method?.frozen), recipe.ratio);
  const fresh = adapt(model, diffPruning(recipe.method), recipe.seed ?? 0);
  const gated = await trainStage(model, fresh, rows, {
    clipGroup: (path) => isGate(path) ? "gates" : "differences",
    ...recipe.gated,
  });
  const pruned = await prunedDiff(model, gated, recipe).finally(() => dispose(gated.params));
  return await trainStage(model, pruned, rows, recipe.fixed);
}
