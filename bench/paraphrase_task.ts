/** The paraphrase task of `deno task intrinsic-dimension`: pairs of messages as prompts, yes or no as answers. */
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
import { messagePair } from "../embedded/paraphrases.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { gatherRows, integers, reshape } from "../ops/mod.ts";
import type { IntrinsicTask } from "../recipes/intrinsic_dimension.ts";
import type { StageOptions } from "../recipes/stage.ts";
import { cosine, rowsFrom } from "../train/mod.ts";

/** How much data, and how long to train on it. */
export interface ParaphraseSettings {
  /** Pairs, half of them paraphrases. */
  readonly pairs: { readonly train: number; readonly heldOut: number };
  /** Reasons to call, by id. */
  readonly reasons: readonly string[];
  readonly steps: number;
  readonly batchSize: number;
  /** Peak learning rates. */
  readonly fullRate: number;
  readonly subspaceRate: number;
}

/** A pair as the model reads it, up to the answer. */
function prompt(first: string, second: string): string {
  return `Customer: ${first}\nCustomer: ${second}\nSame: `;
}

/** The task for a tokenizer: one token of answer, and accuracy between the two. */
export function paraphraseTask(tokenizer: Tokenizer, settings: ParaphraseSettings): IntrinsicTask {
  const from = key(2027);
  const [yes, no] = ["yes", "no"].map((word) => tokenizer.encode(word, { addSpecialTokens: false })[0]!);
  if (yes === undefined || no === undefined || yes === no) throw new RangeError("yes and no are one token");
  const pair = (index: number): { readonly ids: readonly number[]; readonly answer: number } => {
    const { first, second, same } = messagePair(from, index, settings.reasons);
    return { ids: tokenizer.encode(prompt(first, second)), answer: same ? yes : no };
  };
  const range = (start: number, count: number): readonly number[] =>
    Array.from({ length: count }, (_, i) => start + i);
  const { train, heldOut } = settings.pairs;
  const test = range(train, heldOut).map(pair).sort((a, b) => a.ids.length - b.ids.length);
  const stage = (learningRate: number): StageOptions => ({
    learningRate,
    schedule: cosine({ totalSteps: settings.steps, warmUp: settings.steps / 10 }),
    batching: { kind: "buckets", batchSize: settings.batchSize },
    epochs: Math.ceil(settings.steps * settings.batchSize / train) + 1,
    maxSteps: settings.steps,
    clip: 1,
    pad: 0,
  });
  return {
    train: rowsFrom(
      range(0, train).map(pair).map(({ ids, answer }) => ({
        inputIds: [...ids, answer],
        labels: [...ids.map(() => -100), answer],
      })),
    ),
    score: (model) => accuracy(model, test, [yes, no]),
    full: stage(settings.fullRate),
    subspace: () => stage(settings.subspaceRate),
    majority: 0.5,
  };
}

/** How often the right answer is likelier than the other one. */
async function accuracy(
  model: Model,
  pairs: readonly { readonly ids: readonly number[]; readonly answer: number }[],
  answers: readonly [number, number],
): Promise<number> {
  let right = 0;
  for (let start = 0; start < pairs.length; start += 40) {
    const some = pairs.slice(start, start + 40);
    const width = Math.max(...some.map(({ ids }) => ids.length));
    const padded = (fill: (ids: readonly number[]) => readonly number[], filler: number): number[][] =>
      some.map(({ ids }) => [...fill(ids), ...new Array<number>(width - ids.length).fill(filler)]);
    const last = scope((): Synchronous<Tensor> => {
      const { logits } = forward(model, {
        inputIds: padded((ids) => ids, 0),
        attentionMask: padded((ids) => ids.map(() => 1), 0),
      });
      const at = some.map(({ ids }, row) => row * width + ids.length - 1);
      const flat = reshape(logits, [some.length * width, -1]);
      return gatherRows(flat, integers(at, model.backend)); // [pairs, vocabulary]
    });
    const scores = await read(last);
    const vocabulary = last.shape[1]!;
    dispose(last);
    some.forEach(({ answer }, row) => {
      const [a, b] = answers.map((id) => scores[row * vocabulary + id]!) as [number, number];
      if ((a > b ? answers[0] : answers[1]) === answer) right++;
    });
  }
  return right / pairs.length;
}
