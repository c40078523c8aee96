/** Predictions of a classifier or tagger for rows, and their scores. */
import {
  dispose,
  forward,
  type LabelKind,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/mod.ts";
import { argmax, reshape } from "../ops/mod.ts";
import { positive } from "./buckets.ts";
import type { HeldOutOptions } from "./evaluate.ts";
import { accuracy, f1, matthews, pearson, spearman } from "./metrics_classification.ts";
import type { Rows } from "./rows.ts";
import { IGNORED } from "./truncation.ts";
import { alone, gatherNumbers, shareOf } from "./world.ts";
import { typeError } from "../errors/error.ts";

/** One row: a class, scores, flags, or the class of each tagged word. */
export interface Prediction {
  /** The targets. */
  readonly wanted: readonly number[];
  /** The model's predictions. */
  readonly found: readonly number[];
}

/**
 * Predictions for every row, in order, without dropout. Batches hold rows of similar length.
 *
 * @throws {TypeError} when the rows have no labels for classification, or the model is a language model.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { taskConfig } from "@graft/peft/models";
 * import { labelledRows, predict } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const names = ["bad", "good"];
 * const config = taskConfig(smallConfig("bert"), { kind: "classify", names });
 * const model = freshModel(config, { backend: reference(), key: 0 });
 * const tokenizer = {
 *   encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0) % 32),
 *   wrap: (ids: readonly number[]) => ({ ids, typeIds: ids.map(() => 0) }),
 * };
 * const rows = labelledRows([{ kind: "class", text: "fine", label: "good" }], tokenizer, { maxLength: 8, names });
 * const [prediction] = await predict(model, rows, { batchSize: 1, pad: 0 });
 * assert.deepEqual(prediction!.wanted, [1]);
 * assert.ok([0, 1].includes(prediction!.found[0]!));
 * ```
 */
export async function predict(
  model: Model,
  rows: Rows,
  { batchSize, pad, between, world = alone }: HeldOutOptions,
): Promise<readonly Prediction[]> {
  positive("batchSize", batchSize);
  const kind = model.architecture.labels(model);
  if (rows.batch === undefined || kind === "next") {
    throw typeError(
      "INVALID_BATCH",
      "Cannot predict labels: expected labelled rows and a model with a head for labels",
    );
  }
  const order = Array.from({ length: rows.count }, (_, n) => n).sort((a, b) =>
    rows.lengths[b]! - rows.lengths[a]!
  );
  const batches = Math.ceil(order.length / batchSize);
  const numbersOf = (i: number): readonly number[] => order.slice(i * batchSize, (i + 1) * batchSize);
  const own: number[] = [];
  for (const i of shareOf(world, batches)) {
    const numbers = numbersOf(i);
    const batch = rows.batch(numbers, pad);
    const scores = scope((): Synchronous<Tensor> => {
      const { logits } = forward(model, batch);
      return kind === "scores" || kind === "flags" ? logits : reshape(argmax(logits), [numbers.length, -1]);
    }); // [b, n], or i32 [b, 1] or [b, t]
    const width = scores.shape[1]!;
    const found = [...await read(scores)];
    dispose(scores);
    numbers.forEach((_, b) => {
      const row = found.slice(b * width, (b + 1) * width);
      const prediction = predictionOf(
        [batch.labels![b]!].flat(),
        kind === "flags" ? row.map((x) => x > 0 ? 1 : 0) : row,
      );
      own.push(prediction.wanted.length, ...prediction.wanted, ...prediction.found);
    });
    await between?.();
  }
  const all: Prediction[] = [];
  (await gatherNumbers(world, own)).forEach((told, rank) => {
    let at = 0;
    const next = (count: number): readonly number[] => told.slice(at, at += count);
    for (const n of shareOf({ ...world, rank }, batches).flatMap(numbersOf)) {
      const [count] = next(1);
      all[n] = { wanted: next(count!), found: next(count!) };
    }
  });
  return all;
}

function predictionOf(labels: readonly number[], found: readonly number[]): Prediction {
  const kept = labels.map((_, i) => i).filter((i) => labels[i] !== IGNORED);
  return { wanted: kept.map((i) => labels[i]!), found: kept.map((i) => found[i]!) };
}

/**
 * The scores of predictions by name. Classes: accuracy, F1 (of class 1 where there are two, else the mean
 * over classes) and Matthews' correlation. Tags: accuracy and mean F1 over all words. Scores: Pearson's and
 * Spearman's correlation. Flags: the share of rows in which all are correct, and mean F1 over all flags.
 *
 * @param classes The number of classes.
 * @example
 * ```ts
 * import { predictionScores } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const predictions = [{ wanted: [1], found: [1] }, { wanted: [0], found: [1] }];
 * assert.deepEqual(predictionScores("class", predictions, 2), { accuracy: 0.5, f1: 2 / 3, matthews: 0 });
 * ```
 */
export function predictionScores(
  kind: Exclude<LabelKind, "next">,
  predictions: readonly Prediction[],
  classes: number,
): Readonly<Record<string, number>> {
  const wanted = predictions.flatMap((p) => p.wanted);
  const found = predictions.flatMap((p) => p.found);
  switch (kind) {
    case "class":
      return {
        accuracy: accuracy(wanted, found),
        f1: f1(wanted, found, classes === 2 ? { of: 1 } : "macro"),
        matthews: matthews(wanted, found),
      };
    case "token":
      return { accuracy: accuracy(wanted, found), f1: f1(wanted, found, "macro") };
    case "scores":
      return { pearson: pearson(wanted, found), spearman: spearman(wanted, found) };
    case "flags":
      return {
        accuracy: accuracy(predictions.map((p) => p.wanted.join()), predictions.map((p) => p.found.join())),
        f1: f1(wanted, found, { of: 1 }),
      };
    default:
      return kind satisfies never;
  }
}
