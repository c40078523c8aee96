/** The loss and the metrics of an objective on rows that are not trained on. */
import { dispose, type Model, read, scope, type Tensor } from "../../core/mod.ts";
import { multiply } from "../../ops/mod.ts";
import type { HeldOutOptions } from "../evaluate.ts";
import { batchOf } from "../loop.ts";
import type { Rows } from "../rows.ts";
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
  { batchSize, pad, between, base = model }: ObjectiveEvaluationOptions,
): Promise<ObjectiveEvaluation> {
  const order = Array.from({ length: rows.count }, (_, n) => n).sort((a, b) =>
    rows.lengths[b]! - rows.lengths[a]!
  );
  const sums: Record<string, number> = {};
  let all = 0;
  for (let start = 0; start < order.length; start += batchSize) {
    const group = order.slice(start, start + batchSize).map((n) => [n]);
    const batch = batchOf(rows, { rows: group, targets: 0 }, {
      batching: { kind: "buckets", batchSize },
      pad,
    });
    const { units, values } = scope(() => {
      const beside = objective.beside?.(batch, base);
      const scores = (objective.scores ?? batchScores)(model, batch, {});
      const { loss, metrics } = measured(objective.loss(scores, batch, beside));
      const units = unitsOf(objective, scores, batch);
      const values: Readonly<Record<string, Tensor>> = Object.fromEntries(
        Object.entries({ ...metrics, loss }).map(([name, value]) => [name, multiply(value, units)]),
      );
      return { units, values };
    });
    const names = Object.keys(values);
    const numbers = await Promise.all(names.map((name) => read(values[name]!)));
    names.forEach((name, i) => sums[name] = (sums[name] ?? 0) + numbers[i]![0]!);
    dispose(values);
    all += units;
    await between?.();
  }
  const { loss = NaN, ...metrics } = Object.fromEntries(
    Object.entries(sums).map(([name, sum]) => [name, sum / all]),
  );
  return { loss, metrics };
}
