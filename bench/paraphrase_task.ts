/** The paraphrase task of `deno task intrinsic-dimension`: rows of messages, each with yes or no behind it. */
import {
  dispose,
  forward,
  key,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/mod.ts";
import { messageGroup } from "../embedded/paraphrases.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { gatherRows, integers, reshape } from "../ops/mod.ts";
import type { IntrinsicTask } from "../recipes/intrinsic_dimension.ts";
import type { StageOptions } from "../recipes/stage.ts";
import { cosine, rowsFrom } from "../train/mod.ts";

/** How much data, and how long to train on it. */
export interface ParaphraseSettings {
  /** Rows: a message and others to compare with it. */
  readonly rows: { readonly train: number; readonly heldOut: number };
  /** Messages to compare, a row. */
  readonly size: number;
  /** Reasons to call, by id. */
  readonly reasons: readonly string[];
  readonly steps: number;
  readonly batchSize: number;
  /** Peak learning rates. */
  readonly fullRate: number;
  readonly subspaceRate: number;
}

/** A row as the model reads it, and where its answers stand. */
interface Row {
  readonly ids: readonly number[];
  readonly answers: readonly number[];
}

/** Answers on held-out rows, and the two tokens that they may be. */
interface Test {
  readonly rows: readonly Row[];
  readonly words: readonly [yes: number, no: number];
}

const IGNORED = -100;

/** The task for a tokenizer: one token an answer, and the accuracy of the likelier one of the two. */
export function paraphraseTask(tokenizer: Tokenizer, settings: ParaphraseSettings): IntrinsicTask {
  const from = key(2027);
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const [yes, no] = ["yes", "no"].map((word) => encode(word)[0]!) as [number, number];
  const rowOf = (index: number): Row => {
    const { first, others } = messageGroup(from, index, settings.size, settings.reasons);
    const parts = others.map(({ says, same }) => ({
      asked: encode(`\nCustomer: ${says}\nSame: `),
      answer: same ? yes : no,
    }));
    const ids = [...encode(`Customer: ${first}`)];
    const answers: number[] = [];
    for (const { asked, answer } of parts) {
      ids.push(...asked, answer);
      answers.push(ids.length - 1);
    }
    return { ids, answers };
  };
  const range = (start: number, count: number): readonly number[] =>
    Array.from({ length: count }, (_, i) => start + i);
  const { train, heldOut } = settings.rows;
  const test: Test = { rows: range(train, heldOut).map(rowOf), words: [yes, no] };
  const right = test.rows.flatMap(({ ids, answers }) => answers.map((at) => ids[at]!));
  const stage = (learningRate: number): StageOptions => ({
    learningRate,
    schedule: cosine({ totalSteps: settings.steps, warmUp: settings.steps / 10 }),
    batching: { kind: "buckets", batchSize: settings.batchSize },
    epochs: Math.ceil(settings.steps * settings.batchSize / train) + 1,
    maxSteps: settings.steps,
    clip: 1,
    pad: 0,
  });
  const part = right.filter((id) => id === yes).length / right.length;
  return {
    train: rowsFrom(
      range(0, train).map(rowOf).map(({ ids, answers }) => ({
        inputIds: ids,
        labels: ids.map((id, at) => answers.includes(at) ? id : IGNORED),
      })),
    ),
    score: (model) => accuracy(model, test),
    full: stage(settings.fullRate),
    subspace: () => stage(settings.subspaceRate),
    majority: Math.max(part, 1 - part),
  };
}

/** How often the right answer is likelier than the other one. */
async function accuracy(model: Model, { rows, words }: Test): Promise<number> {
  let [right, all] = [0, 0];
  for (let start = 0; start < rows.length; start += 16) {
    const some = rows.slice(start, start + 16);
    const width = Math.max(...some.map(({ ids }) => ids.length));
    const padded = (values: (row: Row) => readonly number[]): number[][] =>
      some.map((row) => [...values(row), ...new Array<number>(width - row.ids.length).fill(0)]);
    const before = some.flatMap(({ answers }, r) => answers.map((at) => r * width + at - 1));
    const scores = scope((): Synchronous<Tensor> => {
      const { logits } = forward(model, {
        inputIds: padded(({ ids }) => ids),
        attentionMask: padded(({ ids }) => ids.map(() => 1)),
      });
      const flat = reshape(logits, [some.length * width, -1]);
      return gatherRows(flat, integers(before, model.backend)); // [answers, vocabulary]
    });
    const vocabulary = scores.shape[1]!;
    const numbers = await read(scores);
    dispose(scores);
    some.flatMap(({ ids, answers }) => answers.map((at) => ids[at]!)).forEach((answer, i) => {
      const [yes, no] = words.map((id) => numbers[i * vocabulary + id]!) as [number, number];
      if ((yes > no ? words[0] : words[1]) === answer) right++;
      all++;
    });
  }
  return right / all;
}
