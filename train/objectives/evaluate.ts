/** The loss and the metrics of an objective on rows that are not trained on. */
import { dispose, type Model, read, scope, type Tensor } from "../../core/mod.ts";
import { multiply } from "../../ops/mod.ts";
import type { HeldOutOptions } from "../evaluate.ts";
import { batchOf } from "../loop.ts";
import type { Rows } from "../rows.ts";
import { alone, gatherJson, gatherNumbers, inOrder, shareOf, type World } from "../world.ts";
import { batchScores, measured, type Objective, unitsOf } from "./objective.ts";

/** Means over what the objective counts. */
export interface ObjectiveEvaluation {
  /** The loss. */
  readonly loss: number;
  /** Metrics by name. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Options of the evaluation. */
export interface ObjectiveEvaluationOptions extends HeldOutOptions {
  /** The model without what is trained, for objectives that compare with it. Default: the model itself. */
  readonly base?: Model;
}

/**
 * Evaluates a (grafted) model on every row, without dropout. Batches hold rows of similar length.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { dpo, evaluateObjective, preferenceRowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = preferenceRowsFrom([{
 *   chosen: { inputIds: [1, 2], labels: [-100, 2] }, rejected: { inputIds: [1, 4], labels: [-100, 4] },
 * }]);
 * const { metrics } = await evaluateObjective(model, rows, dpo(), { batchSize: 1, pad: 0 });
 * assert.equal(metrics["rewards/margins"], 0);
 * ```
 */
export async function evaluateObjective(
  model: Model,
  rows: Rows,
  objective: Objective,
  options: ObjectiveEvaluationOptions,
): Promise<ObjectiveEvaluation> {
  const { batchSize, world = alone } = options;
  await rows.sized?.();
  const order = Array.from({ length: rows.count }, (_, n) => n).sort((a, b) =>
    rows.lengths[b]! - rows.lengths[a]!
  );
  const own: BatchSums[] = [];
  for (const i of shareOf(world, Math.ceil(order.length / batchSize))) {
    own.push(
      await sumsOf(model, rows, order.slice(i * batchSize, (i + 1) * batchSize), objective, options),
    );
    await options.between?.();
  }
  const sums: Record<string, number> = {};
  let all = 0;
  for (const { units, names, values } of await everyBatch(world, own)) {
    names.forEach((name, i) => sums[name] = (sums[name] ?? 0) + values[i]!);
    all += units;
  }
  const { loss = NaN, ...metrics } = Object.fromEntries(
    Object.entries(sums).map(([name, sum]) => [name, sum / all]),
  );
  return { loss, metrics };
}

/** The loss and the metrics of a batch, each times what the batch counts. */
interface BatchSums {
  readonly units: number;
  readonly names: readonly string[];
  readonly values: readonly number[];
}

async function sumsOf(
  model: Model,
  rows: Rows,
  numbers: readonly number[],
  objective: Objective,
  { batchSize, pad, base = model }: ObjectiveEvaluationOptions,
): Promise<BatchSums> {
  const batch = batchOf(rows, { rows: numbers.map((n) => [n]), targets: 0 }, {
    batching: { kind: "buckets", batchSize },
    pad,
  });
  const { units, found } = scope(() => {
    const beside = objective.beside?.(batch, base);
    const scores = (objective.scores ?? batchScores)(model, batch, {});
    const { loss, metrics } = measured(objective.loss(scores, batch, beside));
    const units = unitsOf(objective, scores, batch);
    const found: Readonly<Record<string, Tensor>> = Object.fromEntries(
      Object.entries({ ...metrics, loss }).map(([name, value]) => [name, multiply(value, units)]),
    );
    return { units, found };
  });
  const names = Object.keys(found);
  const values = (await Promise.all(names.map((name) => read(found[name]!)))).map(([value]) => value!);
  dispose(found);
  return { units, names, values };
}

/** The batches of all processes in the order of the whole, to the bit. */
async function everyBatch(world: World, own: readonly BatchSums[]): Promise<readonly BatchSums[]> {
  const names = inOrder(await gatherJson(world, own.map(({ names }) => names)));
  const numbers = await gatherNumbers(world, own.flatMap(({ units, values }) => [units, ...values]));
  const taken = numbers.map(() => 0);
  return names.map((names, i) => {
    const rank = i % numbers.length;
    const from = taken[rank]!;
    const [units, ...values] = numbers[rank]!.slice(from, taken[rank] = from + 1 + names.length);
    return { units: units!, names, values };
  });
}
