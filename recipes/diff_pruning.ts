/**
 * DiffPruning's three stages (arXiv 2012.07463, section 3): differences and gates together; projection to the
 * target sparsity; training of the kept differences alone.
 */
import type { Adapter, Model } from "../core/mod.ts";
import { type KeptDifferences, keptDifferences } from "../methods/selective/diff_pruning.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, stages, trainStage } from "./stage.ts";

/** Options of the stages. */
export interface DiffPruningRecipe extends KeptDifferences {
  /** The first stage. The authors: δ at 1e-5 to 5e-5, 3 epochs. */
  readonly gated: StageOptions;
  /** The last stage. */
  readonly fixed: StageOptions;
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
  { gated, fixed, ...kept }: DiffPruningRecipe,
): Promise<Adapter> {
  const pruned = await keptDifferences(model, kept, stages(model, rows, { gated }));
  return await trainStage(model, pruned, rows, fixed);
}
