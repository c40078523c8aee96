/**
 * The paraphrase task of `deno task intrinsic-dimension`: encoders that read two messages word by word and
 * decide whether both make the same request. They are pretrained on other requests than those they are
 * fine-tuned on.
 */
import {
  adapt,
  type Backend,
  fold,
  type Key,
  key,
  merge,
  type Model,
  type ModelConfig,
} from "../core/mod.ts";
import { DESKS } from "../embedded/conversations/desks/mod.ts";
import { type MessagePair, requestPair } from "../embedded/paraphrases.ts";
import { fullFineTune } from "../methods/mod.ts";
import { freshModel } from "../models/fresh.ts";
import type { IntrinsicTask } from "../recipes/intrinsic_dimension.ts";
import type { StageOptions } from "../recipes/stage.ts";
import {
  cosine,
  labelledRows,
  type LabelTokenizer,
  predict,
  predictionScores,
  type Rows,
  startTraining,
} from "../train/mod.ts";

/** How much data, and how long to train on it. */
export interface ParaphraseSettings {
  readonly pretraining: { readonly pairs: number; readonly steps: number; readonly rate: number };
  /** Requests of the fine-tuning pairs, by id. */
  readonly requests: readonly string[];
  /** Half of them paraphrases. */
  readonly pairs: { readonly train: number; readonly heldOut: number };
  readonly steps: number;
  readonly batchSize: number;
  /** Peak learning rate of full fine-tuning. */
  readonly fullRate: number;
  /**
   * The rate for dimension d is this divided by √d, so that a step moves the weights equally far for any d.
   */
  readonly subspaceRate: number;
}

const [PAD, UNKNOWN, START, END] = [0, 1, 2, 3];
const LENGTH = 48;
const NAMES = ["different", "same"];
/** Training, held-out and pretraining pairs are distinguished by key. */
const FROM = key(2027);

/** Words in lower case and marks; all numbers are one word. */
const wordsOf = (text: string): readonly string[] =>
  text.toLowerCase().replace(/\d[\d.,:]*/g, "0").match(/[a-z]+|0|[?!.$]/g) ?? [];

/** A tokenizer for two texts with the most frequent words of some pairs. */
function wordTokenizer(pairs: readonly MessagePair[], size: number): LabelTokenizer {
  const counts = new Map<string, number>();
  for (const word of pairs.flatMap(({ first, second }) => [...wordsOf(first), ...wordsOf(second)])) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const order = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, size - 4);
  const ids = new Map(order.map(([word], i) => [word, i + 4]));
  return {
    encode: (text) => wordsOf(text).map((word) => ids.get(word) ?? UNKNOWN!),
    wrap: (first, second = []) => ({
      ids: [START!, ...first, END!, ...second, END!],
      typeIds: [...new Array(first.length + 2).fill(0), ...new Array(second.length + 1).fill(1)],
    }),
  };
}

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
const pairsOf = (make: (key: Key, i: number) => MessagePair, from: Key, n: number): readonly MessagePair[] =>
  range(n).map((i) => make(from, i));

function rowsOf(pairs: readonly MessagePair[], tokenizer: LabelTokenizer): Rows {
  const examples = pairs.map(({ first, second, same }) => ({
    kind: "class" as const,
    text: first,
    pair: second,
    label: NAMES[Number(same)]!,
  }));
  return labelledRows(examples, tokenizer, { maxLength: LENGTH, names: NAMES });
}

/** The task, and a function that creates an encoder for it. */
export interface Paraphrases {
  readonly task: IntrinsicTask;
  /** A new encoder, trained on all other requests. */
  pretrained(config: ModelConfig, backend: Backend, note: (line: string) => void): Promise<Model>;
}

/** Data and task for encoders of any size. */
export function paraphrases(settings: ParaphraseSettings, vocabulary: number): Paraphrases {
  const others = Object.values(DESKS).flatMap(({ intents }) => intents.map(({ id }) => id))
    .filter((id) => !settings.requests.includes(id));
  const earlier = pairsOf(
    (key, i) => requestPair(key, i, others),
    fold(FROM, "pretraining"),
    settings.pretraining.pairs,
  );
  const requests = (key: Key, i: number): MessagePair => requestPair(key, i, settings.requests);
  const training = pairsOf(requests, fold(FROM, "training"), settings.pairs.train);
  const tokenizer = wordTokenizer([...earlier, ...training], vocabulary);
  const stage = (learningRate: number, steps: number): StageOptions => ({
    learningRate,
    schedule: cosine({ totalSteps: steps, warmUp: Math.ceil(steps / 10) }),
    batching: { kind: "buckets", batchSize: settings.batchSize },
    epochs: 1000,
    maxSteps: steps,
    clip: 1,
    pad: PAD!,
  });
  const heldOut = rowsOf(pairsOf(requests, fold(FROM, "held out"), settings.pairs.heldOut), tokenizer);
  const accuracy = async (model: Model, rows: Rows): Promise<number> =>
    predictionScores("class", await predict(model, rows, { batchSize: 50, pad: PAD! }), 2)["accuracy"]!;
  const task: IntrinsicTask = {
    train: rowsOf(training, tokenizer),
    score: (model) => accuracy(model, heldOut),
    full: stage(settings.fullRate, settings.steps),
    subspace: (d) => stage(settings.subspaceRate / Math.sqrt(d), settings.steps),
    majority: 0.5,
  };
  const pretrained: Paraphrases["pretrained"] = async (config, backend, note) => {
    const model = freshModel({ ...config, vocab_size: vocabulary }, { backend, key: 0, deviation: 0.05 });
    const { steps, rate } = settings.pretraining;
    const run = await startTraining(
      model,
      adapt(model, fullFineTune()),
      rowsOf(earlier, tokenizer),
      stage(rate, steps),
    );
    for (let report = await run.next(); report; report = await run.next()) {
      if (report.step % 100 === 0) note(`pretraining, step ${report.step}: loss ${report.loss.toFixed(3)}`);
    }
    const trained = merge(model, run.adapter());
    run.dispose();
    return trained;
  };
  return { task, pretrained };
}
