/**
 * FAR's priming (arXiv 2205.01541): a few steps on all feed-forward layers, after which the nodes that
 * changed most keep learning and the others are reset.
 */
import type { Adapter, Model } from "../core/mod.ts";
import { primedLearners, type PrimingOptions } from "../methods/selective/far.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, stages, trainStage } from "./stage.ts";

export { learnersOf } from "../methods/selective/far_learners.ts";

/** Options of priming and fine-tuning. */
export interface FarRecipe extends PrimingOptions {
  /** Priming: a few percent of the total steps. */
  readonly priming: StageOptions;
  /** Fine-tuning of the learners after priming. */
  readonly learning: StageOptions;
}

/**
 * Trains by FAR. The caller owns the result.
 *
 * @example
 * ```ts
 * import { freshModel, leaves, reference, smallConfig, trainFar } from "@graft/peft";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { layers: 1, inner: 32 }), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const stage = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, pad: 0 } as const;
 * const adapter = await trainFar(model, rows, { retention: 0.25, priming: stage, learning: stage });
 * const rowsOfUp = leaves(adapter.params).find(([path]) => path.endsWith("up_proj.rows"))![1];
 * assert.deepEqual(rowsOfUp.shape, [8, 16]); // a quarter of its 32 nodes
 * ```
 */
export async function trainFar(
  model: Model,
  rows: Rows,
  { priming, learning, ...options }: FarRecipe,
): Promise<Adapter> {
  const start = await primedLearners(model, options, stages(model, rows, { priming }));
  return await trainStage(model, start, rows, learning);
}
