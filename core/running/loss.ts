/** The loss of a model on a batch: which of its scores are compared with which labels. */
import type { LossOptions } from "../trees/loss_options.ts";
import { Tensor, tensor } from "../../tensor/mod.ts";
import {
  binaryCrossEntropy,
  concat,
  crossEntropy,
  divide,
  gatherRows,
  integers,
  mean,
  multiply,
  reshape,
  square,
  subtract,
  sum,
} from "../../ops/mod.ts";
import { type LabelKind, labelledPositions, rowNumbers } from "../trees/labels.ts";
import { type LabelFromPrompt, promptLabels, promptLength } from "../places/prompt.ts";
import { editsAt, lookup } from "../trees/weights.ts";
import type { Batch, ForwardOptions, Model } from "../trees/model.ts";
import { batchRows, rowGroups } from "../combinators/per_row.ts";
import { forward } from "./forward.ts";
import { rangeError, typeError } from "../../errors/error.ts";

export type { LossOptions };

/** Scores of what has a label. */
export interface LabelledLogits {
  /** [labels, v]. */
  readonly logits: Tensor;
  /** The labels. */
  readonly ids: readonly number[];
  /** The row of the batch that each of them belongs to. */
  readonly texts: readonly number[];
  /** How much each of them counts; absent where all count 1. */
  readonly weights?: readonly number[];
}

/**
 * Scores of the rows or tokens that have a class label [labels, v], and the labels, in the batch's order;
 * with per-row adapters, one adapter after the other. The head is computed only there.
 *
 * @example
 * ```ts
 * import { freshModel, labelledLogits, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { logits, ids, texts } = labelledLogits(model, { inputIds: [[1, 2, 3]], labels: [[-100, -100, 3]] });
 * assert.deepEqual(logits.shape, [1, 32]); // one token has a label, so one row of scores is computed
 * assert.deepEqual([ids, texts], [[3], [0]]);
 * ```
 */
export function labelledLogits(
  model: Model,
  batch: Batch,
  options: ForwardOptions & Pick<LossOptions, "context"> = {},
): LabelledLogits {
  const kind = model.architecture.labels(model);
  if (kind === "scores" || kind === "flags") {
    throw typeError(
      "INVALID_BATCH",
      `Expected a model that is trained on classes but found one trained on ${kind}`,
    );
  }
  const nothing = rangeError("INVALID_BATCH", "Cannot take a loss: no token of the batch has a label");
  const groups = rowGroups(model, batch);
  if (groups !== undefined) {
    const { inputIds, labels = [] } = batch;
    if (labels.length !== inputIds.length) {
      throw rangeError(
        "INVALID_BATCH",
        `Cannot take a loss: ${inputIds.length} rows of the batch have ${labels.length} labels`,
      );
    }
    const parts = groups.flatMap((group) => {
      const own = batchRows(batch, group.rows);
      if (scoredCount(group.model, own) === 0) return [];
      const part = labelledLogits(group.model, own, options);
      return [{ ...part, texts: part.texts.map((text) => group.rows[text]!) }];
    });
    if (parts.length === 0) throw nothing;
    const weights = parts.some((part) => part.weights)
      ? parts.flatMap(({ ids, weights = ids.map(() => 1) }) => weights)
      : undefined;
    return {
      logits: concat(parts.map(({ logits }) => logits), 0),
      ids: parts.flatMap(({ ids }) => ids),
      texts: parts.flatMap(({ texts }) => texts),
      ...weights && { weights },
    };
  }
  const own = labelledPositions(batch.labels ?? [], kind, firstTokens(model, kind));
  if (own.rows.length === 0) throw nothing;
  const { states, before } = model.architecture.states(model, batch, options);
  const width = states.shape[states.shape.length - 1]!;
  const flat = checkLabelled(reshape(states, [-1, width]), batch); // [b·t, d] or [b, d]
  const all = before === undefined ? flat : concat([flat, reshape(before, [-1, width])], 0); // [b·t + b·n, d]
  const told = before === undefined || options.context === "ignored" ? [] : labelsOfPrompts(model, kind);
  const { rows, ids, texts, weights } = withPromptLabels(
    own,
    told,
    batch.inputIds.length,
    flat.shape[0]!,
    before?.shape[1] ?? 0,
  );
  const chosen = gatherRows(all, integers(rows, model.backend)); // [labels, d]
  const logits = model.architecture.head(model, chosen, options);
  const classes = logits.shape[1]!;
  const bad = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < classes));
  if (bad !== undefined) {
    throw rangeError("INVALID_BATCH", `Expected labels from 0 to ${classes - 1}, or −100, but found ${bad}`);
  }
  return { logits, ids, texts, ...weights && { weights } };
}

/** The labels of the prompts before the text. */
function labelsOfPrompts(model: Model, kind: LabelKind): readonly LabelFromPrompt[] {
  if (kind !== "next") return [];
  return model.spec.stacks.flatMap(({ path }) => {
    const branch = lookup(model.weights, path);
    return branch === undefined || branch instanceof Tensor ? [] : promptLabels({ branch, path });
  });
}

/**
 * Rows of states, ids and weights of the text's labels, and of the prompts' labels in each of `b` texts; the
 * prompts have n rows per text.
 */
function withPromptLabels(
  { rows, ids }: { readonly rows: readonly number[]; readonly ids: readonly number[] },
  told: readonly LabelFromPrompt[],
  b: number,
  total: number,
  n: number,
): {
  readonly rows: readonly number[];
  readonly ids: readonly number[];
  readonly texts: readonly number[];
  readonly weights?: readonly number[];
} {
  // A text's first token is predicted by the prompt's last row.
  const moved = rows.map((row) => row < total ? row : total + (row - total) * n + n - 1);
  const width = total / b;
  const own = rows.map((row) => row < total ? Math.floor(row / width) : row - total);
  if (told.length === 0) return { rows: moved, ids, texts: own };
  const texts = Array.from({ length: b }, (_, i) => i);
  return {
    rows: [...moved, ...texts.flatMap((i) => told.map(({ back }) => total + (i + 1) * n - back))],
    ids: [...ids, ...texts.flatMap(() => told.map(({ id }) => id))],
    texts: [...own, ...texts.flatMap((i) => told.map(() => i))],
    weights: [...ids.map(() => 1), ...texts.flatMap(() => told.map(({ weight }) => weight))],
  };
}

/**
 * A prompt before the text predicts its first token, as in PEFT, which extends the labels over the prompt
 * before the shift. A side network has states of the text alone.
 */
function firstTokens(model: Model, kind: LabelKind): "scored" | "unscored" {
  const told = kind === "next" && model.spec.stacks.some(({ path }) => {
    const branch = lookup(model.weights, path);
    return branch !== undefined && !(branch instanceof Tensor) && promptLength({ branch, path }) > 0 &&
      editsAt(branch, "side").length === 0;
  });
  return told ? "scored" : "unscored";
}

/** How many labels of a batch a model's loss counts. */
export function scoredCount(model: Model, { labels = [] }: Batch): number {
  const kind = model.architecture.labels(model);
  return kind === "scores" || kind === "flags"
    ? labels.length
    : labelledPositions(labels, kind, firstTokens(model, kind)).rows.length;
}

/** Checks that there are as many rows of states as labels. */
function checkLabelled(flat: Tensor, { labels = [] }: Batch): Tensor {
  const count = labels.reduce((n: number, row) => n + (typeof row === "number" ? 1 : row.length), 0);
  if (count !== flat.shape[0]) {
    throw rangeError(
      "INVALID_BATCH",
      `Expected ${
        flat.shape[0]
      } labels, one for everything that is scored (−100 for no loss), but found ${count}`,
    );
  }
  return flat;
}

/**
 * Mean loss over everything that has a label, as a scalar tensor: cross-entropy, or the loss of the
 * `LabelKind`.
 *
 * @throws {RangeError} when nothing has a label.
 * @example
 * ```ts
 * import { freshModel, loss, read, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [number] = await read(loss(model, { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] }));
 * assert.ok(Math.abs(number! - Math.log(32)) < 0.1); // fresh weights find all 32 ids about equally likely
 * ```
 */
export function loss(model: Model, batch: Batch, options: LossOptions = {}): Tensor {
  const kind = model.architecture.labels(model);
  if (kind === "scores" || kind === "flags") return rowLoss(model, batch, kind, options);
  const { logits, ids, weights } = labelledLogits(model, batch, options);
  const plain = crossEntropy(logits, integers(ids, model.backend), options.labelSmoothing ?? 0);
  const each = weights === undefined ? plain : multiply(plain, tensor(weights, { backend: model.backend }));
  return divide(sum(each), options.labelCount ?? ids.length);
}

/** Mean over the rows of the mean over a row's n scores. */
function rowLoss(model: Model, batch: Batch, kind: "scores" | "flags", options: LossOptions): Tensor {
  const { labels = [] } = batch;
  if (labels.length !== batch.inputIds.length) {
    throw rangeError(
      "INVALID_BATCH",
      `Cannot take a loss: ${batch.inputIds.length} rows of the batch have ${labels.length} labels`,
    );
  }
  const { logits } = forward(model, batch, options); // [b, n]
  const wanted = tensor(rowNumbers(labels, logits.shape[1]!), { backend: model.backend }); // [b, n]
  const each = kind === "scores" ? square(subtract(logits, wanted)) : binaryCrossEntropy(logits, wanted);
  return divide(sum(mean(each, { axis: -1 })), options.labelCount ?? labels.length);
}
