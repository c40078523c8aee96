/** One stage of a method with several: a whole training run that returns the adapter. */
import { type Adapter, copyTree, dispose, type Model, type Preparing, type Tree } from "../core/mod.ts";
import { type Rows, startTraining, type StepReport, type TrainOptions } from "../train/mod.ts";
import { rangeError } from "../errors/error.ts";

/** Options of a stage's training, and a callback for its steps. */
export interface StageOptions extends TrainOptions {
  /** Called after each step. */
  readonly stepped?: (report: StepReport) => void;
}

/**
 * Trains an adapter from its first step to its last, with its own optimizer and schedule. Takes ownership of
 * the given parameters and frees them; the caller owns the result.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import { trainStage } from "@graft/peft/recipes";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const losses: number[] = [];
 * const adapter = await trainStage(model, adapt(model, lora({ rank: 2 })), rows, {
 *   learningRate: 0.05, batching: { kind: "buckets", batchSize: 1 }, epochs: 3, pad: 0,
 *   stepped: ({ loss }) => void losses.push(loss),
 * });
 * assert.equal(losses.length, 3);
 * assert.equal(adapter.method.name, "lora");
 * ```
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

/**
 * How a recipe trains the stages of a method, with options for each by the stage's name.
 *
 * @throws {RangeError} on a stage of another name.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import { stages } from "@graft/peft/recipes";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const warm = { learningRate: 0.05, batching: { kind: "buckets", batchSize: 1 }, pad: 0 } as const;
 * const train = stages(model, rows, { warm });
 * const adapter = await train(adapt(model, lora({ rank: 2 })), { name: "warm" });
 * assert.equal(adapter.method.name, "lora");
 * ```
 */
export function stages(
  model: Model,
  rows: Rows,
  options: Readonly<Record<string, StageOptions>>,
): Preparing["train"] {
  return async (adapter, { name, steps, clipGroup }) => {
    const own = options[name];
    if (own === undefined) {
      throw rangeError("INVALID_ARGUMENT", `There are no options for the stage "${name}"`);
    }
    return await trainStage(model, adapter, rows, {
      ...steps !== undefined && { maxSteps: steps },
      ...clipGroup && { clipGroup },
      ...own,
    });
  };
}
