/**
 * Rows that take each step together: one pass for all of them, with one cache. Rows join after a pass over
 * their prompt and leave at any step, when their text is finished.
 */
import {
  type Batch,
  dispose,
  keep,
  type Model,
  read,
  type Root,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/mod.ts";
import { nextTokenLogits } from "../core/running/next_token_logits.ts";
import { type CachedRows, grown, joinable, joined, picked } from "./cache_rows.ts";
import { type MixableEdit, mixed } from "./mixed.ts";
import type { Rounding } from "./reading.ts";
import type { Writing } from "./text_job.ts";

/** The model and adapter with which rows run. */
export interface Runner {
  /** The model with the adapter, which reads the prompt. */
  readonly model: Model;
  /** The adapter's edits, when they can share a pass with other adapters'. */
  readonly edits: readonly MixableEdit[] | undefined;
  /** Whether prompts are read in chunks. */
  readonly inPieces: boolean;
}

/** A row: its text and its runner. */
export interface Row {
  readonly writing: Writing;
  readonly runner: Runner;
}

/** Scores [v] of one row. */
export interface Scored<W extends Row> {
  readonly row: W;
  readonly scores: Float32Array;
}

/** See the module comment. */
export interface Pool<W extends Row> {
  readonly rows: readonly W[];
  /** Whether a row with such a cache may join. */
  takes(runner: Runner, cached: CachedRows): boolean;
  /** Adds a row, and takes ownership of its cache. */
  join(row: W, cached: CachedRows): void;
  /** Removes the rows that should not stay. */
  retain(stays: (row: W) => boolean): void;
  /** One pass: each row reads its last token. */
  step(): Promise<readonly Scored<W>[]>;
  dispose(): void;
}

/** A pool of the model that rows share, with its first row. */
export function pool<W extends Row>(
  base: Model,
  row: W,
  cached: CachedRows,
  rounding: Rounding = {},
): Pool<W> {
  const shares = row.runner.edits !== undefined;
  const root: Root<CachedRows> = keep(cached);
  let rows: readonly W[] = [row];
  let current: Root<{ readonly tensors: readonly Tensor[] }> | undefined;
  let model: Model | undefined;

  const changed = (next: readonly W[]): void => {
    rows = next;
    current?.dispose();
    [current, model] = [undefined, undefined];
  };
  const modelNow = (): Model => {
    if (!shares) return rows[0]!.runner.model;
    if (model !== undefined) return model;
    const made = mixed(base, sharesOf(rows), rows.length);
    current = keep({ tensors: made.tensors });
    return model = made.model;
  };
  return {
    get rows() {
      return rows;
    },
    takes: (runner, other) =>
      joinable(other.cache) && joinable(root.tree.cache) &&
      (shares ? runner.edits !== undefined : runner === rows[0]?.runner),
    join: (row, other) => {
      root.replace(scope((): Synchronous<CachedRows> => joined(root.tree, other)));
      dispose(other.cache);
      changed([...rows, row]);
    },
    retain: (stays) => {
      const left = [...rows.keys()].filter((i) => stays(rows[i]!));
      if (left.length === rows.length) return;
      if (left.length > 0) root.replace(scope((): Synchronous<CachedRows> => picked(root.tree, left)));
      changed(left.map((i) => rows[i]!));
    },
    step: async () => {
      const before = rows;
      const { cache, used } = root.tree;
      const running = modelNow();
      const { result, next } = scope((): Synchronous<{ result: Tensor; next: CachedRows }> => {
        const { result, cache: after } = nextTokenLogits(running, tokenBatch(running, before), {
          cache,
          ...rounding,
        });
        return { result, next: grown(after, used) };
      });
      root.replace(next);
      const numbers = await read(result);
      const width = result.shape[1]!;
      result.storage.free();
      return before.map((row, i) => ({ row, scores: numbers.subarray(i * width, (i + 1) * width) }));
    },
    dispose: () => {
      changed([]);
      root.dispose();
    },
  };
}

/** The last token of each row, at its own position. */
function tokenBatch(model: Model, rows: readonly Row[]): Batch {
  const inputIds = rows.map(({ writing: { ids } }) => [ids[ids.length - 1]!]);
  if (model.architecture.decoderStart !== undefined) return { inputIds, decoderInputIds: inputIds };
  return {
    inputIds,
    positionIds: rows.map(({ writing: { job, ids } }) => [job.prompt.length + ids.length - 1]),
  };
}

/** The rows of each adapter; the bare base needs none. */
function sharesOf(rows: readonly Row[]) {
  return [...Map.groupBy(rows.keys(), (i) => rows[i]!.runner)]
    .filter(([runner]) => runner.edits!.length > 0)
    .map(([runner, rows]) => ({ edits: runner.edits!, rows }));
}
