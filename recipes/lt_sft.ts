/**
 * LT-SFT's phases (arXiv 2110.07560, section 3; `src/sft/lt_sft.py`): fine-tune all, unfreeze the weights
 * that moved farthest, rewind, fine-tune those; n times. Optimizer and schedule restart in each phase.
 */
import type { Adapter, Model } from "../core/mod.ts";
import { sparsePhase, type SparsePhaseOptions } from "../methods/selective/lt_sft.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, stages, trainStage } from "./stage.ts";

/** Options of the phases. */
export interface LtSftRecipe extends SparsePhaseOptions {
  /** The phase in which all weights are trained. */
  readonly full: StageOptions;
  /** The phase in which the masked weights are trained. */
  readonly sparse: StageOptions;
}

/**
 * Trains by LT-SFT. The caller owns the result.
 *
 * @throws {RangeError} when `elements` is less than one per iteration.
 * @example
 * ```ts
 * import { count, freshModel, reference, smallConfig, trainLtSft } from "@graft/peft";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { layers: 1 }), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const stage = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 4, pad: 0 } as const;
 * const adapter = await trainLtSft(model, rows, { elements: 20, iterations: 2, full: stage, sparse: stage });
 * assert.equal(count(model, adapter).trainable, 20);
 * ```
 */
export async function trainLtSft(
  model: Model,
  rows: Rows,
  { full, sparse, ...options }: LtSftRecipe,
): Promise<Adapter> {
  const start = await sparsePhase(model, options, stages(model, rows, { full, sparse }));
  return await trainStage(model, start, rows, sparse);
}
