/** Pairs of answers with the log-probabilities of a reference, which are computed once since they do not change. */
import { dispose, type Model, read, scope, type Synchronous, type Tensor } from "../../core/mod.ts";
import type { Rows } from "../rows.ts";
import { targetCount } from "../truncation.ts";
import { batchLogProbabilities } from "./log_probabilities.ts";
import type { PreferenceRows } from "./preference_rows.ts";

/** Where log-probabilities are kept: of pair n those of the chosen answer's tokens at 2 n, of the rejected one's at 2 n + 1. */
export interface ReferenceStore {
  /** Whether all are there already. */
  readonly complete: boolean;
  /** Keeps those of one text. */
  write(text: number, values: Float32Array): void;
  /** Those of one text. */
  read(text: number): ArrayLike<number>;
}

/**
 * The rows with the log-probabilities that a model gives their answers, for `dpo`: computed here, in passes without gradients, unless
 * the store has them.
 *
 * @param model The reference: the base, or what it was tuned to before.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { preferenceRowsFrom, withReference } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const answer = { inputIds: [1, 2], labels: [-100, 2] };
 * const rows = await withReference(preferenceRowsFrom([{ chosen: answer, rejected: answer }]), model, {
 *   batchSize: 1, pad: 0,
 * });
 * const [chosen, rejected] = rows.batch([0], 0).reference!;
 * assert.ok(chosen === rejected && Math.abs(chosen! + Math.log(32)) < 0.1);
 * ```
 */
export async function withReference<R extends Rows & Pick<PreferenceRows, "batch">>(
  rows: R,
  model: Model,
  { batchSize, pad, between, store = memoryStore() }: {
    readonly batchSize: number;
    readonly pad: number;
    /** Awaited between batches with the number of pairs that are done; throwing aborts the work. */
    between?(done: number): void | Promise<void>;
    /** Default: in memory, 4 bytes a token. */
    readonly store?: ReferenceStore;
  },
): Promise<R> {
  if (!store.complete) await compute(rows, model, batchSize, pad, store, between);
  return {
    ...rows,
    batch: (numbers, pad) => ({
      ...rows.batch(numbers, pad),
      reference: [0, 1].flatMap((side) => numbers.flatMap((n) => Array.from(store.read(2 * n + side)))),
    }),
  };
}

async function compute(
  rows: Rows & Pick<PreferenceRows, "batch">,
  model: Model,
  batchSize: number,
  pad: number,
  store: ReferenceStore,
  between?: (done: number) => void | Promise<void>,
): Promise<void> {
  const order = Array.from({ length: rows.count }, (_, n) => n).sort((a, b) =>
    rows.lengths[b]! - rows.lengths[a]!
  );
  for (let start = 0; start < order.length; start += batchSize) {
    const numbers = order.slice(start, start + batchSize);
    const batch = rows.batch(numbers, pad);
    const each = scope((): Synchronous<Tensor> => batchLogProbabilities(model, batch));
    const values = Float32Array.from(await read(each));
    dispose(each);
    const counts = (batch.labels as readonly (readonly number[])[]).map(targetCount);
    let at = 0;
    counts.forEach((count, i) => {
      const n = numbers[i % numbers.length]!;
      store.write(i < numbers.length ? 2 * n : 2 * n + 1, values.slice(at, at += count));
    });
    await between?.(start + numbers.length);
  }
}

function memoryStore(): ReferenceStore {
  const kept: Float32Array[] = [];
  return {
    complete: false,
    write: (text, values) => void (kept[text] = values),
    read: (text) => kept[text]!,
  };
}
