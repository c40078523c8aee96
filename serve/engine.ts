/**
 * Generates many texts concurrently. Prompts are read in chunks, in turn, and rows take steps in between for as long as the last
 * chunk took: a short prompt waits for one chunk of each long one, and a text that is being written keeps half its rate. What
 * is written does not depend on the order. Between passes other work of the program can run.
 */
import {
  type Adapter,
  dispose,
  graft,
  lookup,
  type Model,
  prefixPositions,
  promptLength,
  Tensor,
} from "../core/mod.ts";
import { contextLength } from "../models/mod.ts";
import { Cancelled, QueueFull } from "./refusals.ts";
import { mixable } from "./mixed.ts";
import { type Pool, pool, type Row, type Runner } from "./pool.ts";
import { pieceEnds, type Reading, reading, type ReadPrompt, readsInPieces } from "./reading.ts";
import { type Job, writing, type Written } from "./text_job.ts";
import { rangeError } from "../errors/error.ts";

export { Cancelled, QueueFull } from "./refusals.ts";

/** Options of an engine. */
export interface EngineOptions {
  /** Adapters by the names that jobs use. */
  readonly adapters: Readonly<Record<string, Adapter>>;
  /** Number of texts generated at the same time. */
  readonly rows: number;
  /** Maximum number of waiting texts. */
  readonly queue: number;
  /** As `ForwardOptions.roundInputs`. Default false. */
  readonly roundInputs?: boolean;
}

/** A queued text. */
export interface PendingText {
  /** Rejects with `Cancelled`, or what went wrong. */
  readonly written: Promise<Written>;
  /** Cancels the text; its place becomes free immediately. */
  cancel(): void;
}

/** See the module comment. */
export interface Engine {
  /** Number of waiting texts, and of those being generated. */
  readonly load: { readonly waiting: number; readonly writing: number };
  /** Total number of texts that can be generated or waiting. */
  readonly places: number;
  /**
   * Maximum number of tokens of a prompt and its text together with an adapter; Infinity where the model has
   * only relative positions.
   */
  room(adapter: string | null): number;
  /**
   * Queues a job. `hear` is not called before this function returns.
   *
   * @throws {QueueFull} when the queue is full.
   * @throws {RangeError} on an unknown adapter or an option out of range.
   * @throws the job's signal's reason when it is already aborted.
   */
  submit(job: Job, hear?: (chunk: string) => void): PendingText;
  /** Cancels remaining jobs and frees the caches. */
  close(): Promise<void>;
}

/** A row with its promise, and its prompt while it is read. */
interface Wanted extends Row {
  readonly reading: Reading;
  cancelled: boolean;
  done(written: Written): void;
  fail(error: unknown): void;
}

/**
 * Starts an engine over a model, which it neither changes nor frees.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, ia3, lora, reference, smallConfig } from "@graft/peft";
 * import { engine } from "@graft/peft/serve";
 * import assert from "node:assert/strict";
 * const tokenizer = { encode: () => [1], decode: (ids: readonly number[]) => ids.join(" ") };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0, tokenizer });
 * const adapters = { polite: adapt(model, lora()), brief: adapt(model, ia3()) };
 * const writer = engine(model, { adapters, rows: 4, queue: 16 });
 * const texts = await Promise.all([null, "polite", "brief"].map((adapter) =>
 *   writer.submit({ prompt: [1, 2, 3], adapter, maxTokens: 4, seed: 0, stop: [] }).written
 * ));
 * assert.deepEqual(texts.map(({ tokens, reason }) => [tokens, reason]), Array(3).fill([4, "length"]));
 * await writer.close();
 * ```
 */
export function engine(model: Model, { adapters, rows, queue, roundInputs = false }: EngineOptions): Engine {
  const bare: Runner = { model, edits: [], inPieces: readsInPieces(model) };
  const runners = new Map(Object.entries(adapters).map(([name, adapter]) => [name, runner(model, adapter)]));
  let waiting: Wanted[] = [];
  let begun: Wanted[] = []; // whose prompts are being read, in turn
  let pools: Pool<Wanted>[] = [];
  let turning: Promise<void> | undefined;

  const named = (adapter: string | null): Runner => {
    const found = adapter === null ? bare : runners.get(adapter);
    if (found === undefined) throw rangeError("ADAPTER_NOT_FOUND", `There is no adapter "${adapter}"`);
    return found;
  };
  const written = (): readonly Wanted[] => [...begun, ...pools.flatMap(({ rows }) => rows)];
  const count = (): number => written().length;

  /** Reads the next chunk of the prompt whose turn it is, and after the last one adds the row to a pool. */
  const readOn = async (): Promise<void> => {
    begun = begun.filter((wanted) => {
      if (wanted.cancelled) wanted.reading.dispose();
      return !wanted.cancelled;
    });
    const [wanted, ...others] = begun;
    if (wanted === undefined) return;
    try {
      const prompt = await wanted.reading.step();
      begun = prompt === undefined ? [...others, wanted] : others;
      if (prompt !== undefined) join(wanted, prompt);
    } catch (error) {
      begun = others;
      wanted.reading.dispose();
      wanted.fail(error);
    }
  };
  const join = (wanted: Wanted, { scores, cached }: ReadPrompt): void => {
    try {
      if (taken(wanted, scores)) return dispose(cached.cache);
      const place = pools.find((pool) => pool.takes(wanted.runner, cached));
      if (place === undefined) pools.push(pool(model, wanted, cached, { roundInputs }));
      else place.join(wanted, cached);
    } catch (error) {
      dispose(cached.cache);
      throw error;
    }
  };
  /** One step of a pool. If the pass fails, all its rows fail. */
  const step = async (pool: Pool<Wanted>): Promise<void> => {
    try {
      pool.retain((row) => !row.cancelled);
      if (pool.rows.length === 0) return;
      const over = new Set<Wanted>();
      for (const { row, scores } of await pool.step()) if (taken(row, scores)) over.add(row);
      pool.retain((row) => !over.has(row));
    } catch (error) {
      for (const row of pool.rows) row.fail(error);
      pool.retain(() => false);
    }
  };
  /** One step of every pool. */
  const stepAll = async (): Promise<void> => {
    for (const pool of pools) {
      await others();
      await step(pool);
    }
    for (const pool of pools.filter(({ rows }) => rows.length === 0)) pool.dispose();
    pools = pools.filter(({ rows }) => rows.length > 0);
  };
  const turn = async (): Promise<void> => {
    try {
      while (waiting.length > 0 || begun.length > 0 || pools.length > 0) {
        await others();
        begun.push(...waiting.splice(0, Math.max(0, rows - count())));
        const before = performance.now();
        await readOn();
        const chunk = performance.now() - before;
        do await stepAll(); while (
          begun.length > 0 && pools.length > 0 && performance.now() - before < 2 * chunk
        );
      }
    } finally {
      turning = undefined; // at once: a job that comes now starts the next one
    }
  };
  return {
    get load() {
      return { waiting: waiting.length, writing: count() };
    },
    places: rows + queue,
    room: (adapter) => roomOf(named(adapter).model),
    submit: (job, hear = () => {}) => {
      const { signal } = job;
      signal?.throwIfAborted();
      const found = named(job.adapter);
      const { prompt } = job;
      const text = writing(model, job, hear);
      if (waiting.length >= queue + Math.max(0, rows - count())) {
        throw new QueueFull(`${waiting.length} requests wait already: try again later`);
      }
      const { promise, resolve, reject } = Promise.withResolvers<Written>();
      const wanted: Wanted = {
        writing: text,
        runner: found,
        reading: reading(
          found.model,
          prompt,
          found.inPieces ? pieceEnds(prompt.length) : [prompt.length],
          { roundInputs },
        ),
        cancelled: false,
        done: resolve,
        fail: reject,
      };
      const give = (reason: unknown): void => {
        wanted.cancelled = true;
        waiting = waiting.filter((other) => other !== wanted);
        reject(reason);
      };
      const abort = (): void => give(signal!.reason);
      signal?.addEventListener("abort", abort);
      const deaf = (): void => signal?.removeEventListener("abort", abort);
      promise.then(deaf, deaf);
      waiting.push(wanted);
      turning ??= turn();
      return { written: promise, cancel: () => give(new Cancelled("The request was cancelled")) };
    },
    close: async () => {
      const error = new Cancelled("The server stops");
      for (const wanted of [...waiting, ...written()]) {
        wanted.cancelled = true;
        wanted.fail(error);
      }
      waiting = [];
      await turning;
    },
  };
}

function runner(model: Model, adapter: Adapter): Runner {
  const edits = adapter.method.edits(adapter.params, model.spec);
  return {
    model: graft(model, adapter),
    edits: mixable(edits, model.spec),
    inPieces: readsInPieces(model, adapter),
  };
}

/** The context minus the positions of the adapter's prompts and prefixes. */
function roomOf(model: Model): number {
  const taken = model.spec.stacks.map(({ path }) => {
    const branch = path === "" ? model.weights : lookup(model.weights, path);
    if (branch === undefined || branch instanceof Tensor) return 0;
    return promptLength({ branch, path }) + prefixPositions({ branch, path });
  });
  return contextLength(model) - Math.max(0, ...taken);
}

/**
 * Gives a row its scores. Returns whether it needs no more steps: its text is finished, cancelled, or failed.
 */
function taken(wanted: Wanted, scores: Float32Array): boolean {
  if (wanted.cancelled) return true;
  try {
    const written = wanted.writing.take(scores);
    if (written !== undefined) wanted.done(written);
    return written !== undefined;
  } catch (error) {
    wanted.fail(error);
    return true;
  }
}

/** Lets other work of the program run, such as receiving requests and sending chunks. */
const others = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
