/** Pairs of answers with the log-probabilities of a reference, which are computed once since they do not change. */
import { dispose, type Model, read, scope, type Synchronous, type Tensor } from "../../core/mod.ts";
import type { Rows } from "../rows.ts";
import { targetCount } from "../truncation.ts";
import { alone, gatherJson, gatherNumbers, type World } from "../world.ts";
import { batchLogProbabilities } from "./log_probabilities.ts";
import type { PreferenceBatch } from "./preference.ts";
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
  { store = memoryStore(), world = alone, ...how }: {
    readonly batchSize: number;
    readonly pad: number;
    /** The processes that share the batches out; each has all of the numbers then. Default: this one alone. */
    readonly world?: World;
    /** Awaited between batches with the number of pairs that are done; throwing aborts the work. */
    between?(done: number): void | Promise<void>;
    /** Default: in memory, 4 bytes per token. */
    readonly store?: ReferenceStore;
  },
): Promise<R> {
  if ((await gatherJson(world, store.complete)).includes(false)) {
    await compute(rows, model, { store, world, ...how });
  }
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
  { batchSize, pad, store, world, between }: {
    readonly batchSize: number;
    readonly pad: number;
    readonly store: ReferenceStore;
    readonly world: World;
    between?(done: number): void | Promise<void>;
  },
): Promise<void> {
  const order = Array.from({ length: rows.count }, (_, n) => n).sort((a, b) =>
    rows.lengths[b]! - rows.lengths[a]!
  );
  const pairsOf = (i: number): readonly number[] => order.slice(i * batchSize, (i + 1) * batchSize);
  // A batch of each process at a time, so that what waits to be told stays small.
  for (let first = 0; first * batchSize < order.length; first += world.size) {
    const own = pairsOf(first + world.rank);
    const all = await gatherNumbers(world, own.length === 0 ? [] : await toldOf(rows.batch(own, pad), model));
    all.forEach((told, rank) => keep(store, pairsOf(first + rank), told));
    await between?.(Math.min(order.length, (first + world.size) * batchSize));
  }
}

/** Of each text of a batch how many labels it has, and their log-probabilities. */
async function toldOf(batch: PreferenceBatch, model: Model): Promise<readonly number[]> {
  const each = scope((): Synchronous<Tensor> => batchLogProbabilities(model, batch));
  const values = Array.from(await read(each));
  dispose(each);
  let at = 0;
  return (batch.labels as readonly (readonly number[])[]).map(targetCount)
    .flatMap((count) => [count, ...values.slice(at, at += count)]);
}

/** Keeps what was told of a batch, the chosen texts and then the rejected ones; another process's store may have it already. */
function keep(store: ReferenceStore, pairs: readonly number[], told: readonly number[]): void {
  if (store.complete) return;
  let at = 0;
  for (const text of [...pairs.map((n) => 2 * n), ...pairs.map((n) => 2 * n + 1)]) {
    const count = told[at++]!;
    store.write(text, Float32Array.from(told.slice(at, at += count)));
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
