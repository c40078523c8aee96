/** One stage of a method with several: a whole training run, of which the adapter remains. */
import {
  type Adapter,
  allocate,
  dispose,
  mapTree,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { type Rows, startTraining, type StepReport, type TrainOptions } from "../train/mod.ts";

/** How a stage trains, and who hears of its steps. */
export interface StageOptions extends TrainOptions {
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
    return { ...adapter, params: copyOf(run.adapter().params) };
  } finally {
    run.dispose();
  }
}

/** A copy of parameters that outlives their owner. */
export function copyOf<P extends Tree>(params: P): P {
  return scope((): Synchronous<P> =>
    mapTree(params, (leaf): Tensor => {
      const copy = allocate(leaf.backend, leaf.shape, leaf.dtype);
      leaf.backend.copy(leaf, copy);
      return copy;
    }) as Synchronous<P>
  );
}
