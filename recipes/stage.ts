/** One stage of a method with several: a whole training run, of which the adapter remains. */
import { type Adapter, copyTree, dispose, type Model, type Tree } from "../core/mod.ts";
import { type Rows, startTraining, type StepReport, type TrainOptions } from "../train/mod.ts";

/** How a stage trains, and who hears of its steps. */
export interface StageOptions extends TrainOptions {
  /** Hears of each step. */
  readonly stepped?: (report: StepReport) => void;
}

/**
 * Trains an adapter from its first step to its last, with optimizer and schedule of its own. Takes the given parameters over
 * and frees them; the caller owns the result.
 */
export async function trainStage<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  rows: Rows,
  { stepped, ...options }: StageOptions,
): Promise<Adapter<P>> {
  const run = await startTraining(model, adapter, rows, options).finally(() => dispose(adapter.params));
  try {
    for (let report = await run.next(); report !== undefined; report = await run.next()) stepped?.(report);
    return { ...adapter, params: copyTree(run.adapter().params) };
  } finally {
    run.dispose();
  }
}
