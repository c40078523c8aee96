/** Continuing token ids: one pass over the prompts, then one token per pass with cached keys and values. */
import {
  fold,
  keep,
  type Key,
  key as keyOf,
  read,
  scope,
  type Synchronous,
  type Tensor,
} from "../../tensor/mod.ts";
import { argmax, type Sampler, sampleToken } from "../../ops/mod.ts";
import type { Batch, Cache, Model } from "../trees/model.ts";
import { checkGeneration } from "./generate_checks.ts";
import { heed } from "./heed.ts";
import { nextTokenLogits } from "./next_token_logits.ts";
import { byRows, rowGroups } from "../combinators/per_row.ts";
import { prefixPositions } from "../places/attention.ts";
import { rootOf } from "../trees/weights.ts";

export type { Sampler } from "../../ops/mod.ts";

/** A newly generated token. */
export interface GeneratedToken {
  /** Index of the prompt it continues. */
  readonly row: number;
  /** The token. */
  readonly id: number;
  /**
   * Text that has become final with this token: the chunks concatenate to the result. Empty while a character
   * is incomplete or a stop string may have begun, and when only ids are generated.
   */
  readonly text: string;
}

/** How to continue ids. */
export interface GenerateIdsOptions {
  /**
   * Maximum number of new tokens per prompt. Generation ends earlier at an end-of-text token, or when the
   * model's context is full.
   */
  readonly maxNewTokens: number;
  /** Default: always the best-scoring token. */
  readonly sampler?: Sampler;
  /** Seed or key for sampling, default 0. */
  readonly key?: number | Key;
  /** The adapter of each prompt, under `perRow`; null for none. */
  readonly rows?: readonly (string | null)[];
  /** As `ForwardOptions.roundInputs`. Default false. */
  readonly roundInputs?: boolean;
  /** Ids that end a text; default: those in the model's config and tokenizer. */
  readonly eos?: number | readonly number[];
  /** Ends the generation between two tokens: the promise rejects with its reason, and caches are freed. */
  readonly signal?: AbortSignal;
  /** Called with every token as soon as it is generated. */
  onToken?(token: GeneratedToken): void;
}

/**
 * The ids that a model appends to a prompt, or to each of several prompts; without the prompt, including the
 * end-of-text token if there was one. Prompts of a batch do not influence each other.
 *
 * @throws {RangeError} when a prompt is empty or longer than the context, or an option is out of range; or the signal's reason.
 * @example
 * ```ts
 * import { freshModel, generateIds, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const seen: number[] = [];
 * const ids = await generateIds(model, [1, 2, 3], { maxNewTokens: 4, onToken: ({ id }) => seen.push(id) });
 * assert.deepEqual(ids, seen);
 * ```
 */
export function generateIds(
  model: Model,
  prompt: readonly number[],
  options: GenerateIdsOptions,
): Promise<number[]>;
/** One prompt, one row of ids. */
export function generateIds(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateIdsOptions,
): Promise<number[][]>;
export async function generateIds(
  model: Model,
  prompt: readonly number[] | readonly (readonly number[])[],
  options: GenerateIdsOptions,
): Promise<number[] | number[][]> {
  const many = typeof prompt[0] === "object";
  const prompts = (many ? prompt : [prompt]) as readonly (readonly number[])[];
  const rows = await continueIds(model, prompts, options, (row, ids) => {
    options.onToken?.({ row, id: ids[ids.length - 1]!, text: "" });
    return false;
  });
  return many ? rows : rows[0]!;
}

/** Why a row ends: an end-of-text token, or the maximum length. */
export type StopReason = "eos" | "length" | undefined;

/**
 * Called with a row's new ids after each token, and with the reason if the row ends anyway. Returns whether
 * the row should end.
 */
export type Listener = (row: number, ids: readonly number[], ending: StopReason) => boolean;

/** The loop behind `generateIds` and `generate`. */
export async function continueIds(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateIdsOptions,
  listen: Listener,
): Promise<number[][]> {
  const { maxNewTokens, sampler, signal } = options;
  signal?.throwIfAborted();
  checkGeneration(model, prompts, options);
  const rows: number[][] = prompts.map(() => []);
  if (maxNewTokens === 0) return rows;
  const ends = eosTokenIds(model, options.eos);
  const first = promptBatch(model, prompts, options.rows);
  const contexts = contextsOf(model, first);
  const width = longest(prompts);
  const seed = keyOf(options.key ?? 0);
  const open = new Set(rows.keys());

  const start = scope((): Synchronous<Step> => step(model, first, options, undefined));
  const root = keep(start);
  try {
    for (let n = 1;; n++) {
      const { scores, cache } = root.tree;
      const next = await chosen(scores, sampler, fold(seed, n), open);
      for (const row of open) {
        const id = next[row]!;
        rows[row]!.push(id);
        const used = cachedFor(row, cache) - (width - prompts[row]!.length); // excluding padding
        const full = n === maxNewTokens || used >= contexts[row]!;
        const ending = ends.has(id) ? "eos" : full ? "length" : undefined;
        if (listen(row, rows[row]!, ending) || ending !== undefined) open.delete(row);
      }
      if (open.size === 0) return rows;
      await heed(signal);
      const batch = tokenBatch(prompts, first, next, n, open);
      root.replace(scope((): Synchronous<Step> => step(model, batch, options, cache)));
    }
  } finally {
    root.dispose();
  }
}

interface Step {
  /** i32 [b] of the best tokens, or f32 [b, v] of all scores for a sampler. */
  readonly scores: Tensor;
  readonly cache: Cache;
}

/** One pass; scores [b, v], or the best tokens where nothing is sampled. */
function step(
  model: Model,
  batch: Batch,
  { sampler, roundInputs = false }: GenerateIdsOptions,
  cache: Cache | undefined,
): Step {
  const { result: logits, cache: next } = byRows(
    model,
    batch,
    { roundInputs, ...cache && { cache } },
    nextTokenLogits,
  );
  return { scores: sampler === undefined ? argmax(logits) : logits, cache: next! };
}

/** The next id of each row; for a finished row, an arbitrary one. */
async function chosen(
  scores: Tensor,
  sampler: Sampler | undefined,
  key: Key,
  open: ReadonlySet<number>,
): Promise<readonly number[]> {
  const numbers = await read(scores);
  if (sampler === undefined) return [...numbers];
  const [b, v] = scores.shape as [number, number];
  return Array.from(
    { length: b },
    (_, row) =>
      open.has(row) ? sampleToken(numbers.subarray(row * v, (row + 1) * v), sampler, fold(key, row)) : 0,
  );
}

const longest = (prompts: readonly (readonly number[])[]): number =>
  Math.max(...prompts.map((p) => p.length));

/**
 * Padded on the left, so that every row continues at the same index; positions count a row's own tokens. An
 * encoder-decoder model reads the prompts padded on the right and decodes from its start token.
 */
function promptBatch(
  model: Model,
  prompts: readonly (readonly number[])[],
  rows: Batch["rows"],
): Batch {
  const width = longest(prompts);
  const start = model.architecture.decoderStart?.(model);
  const padded = (row: readonly number[], value: (id: number, i: number) => number): readonly number[] => {
    const [padding, own] = [Array<number>(width - row.length).fill(0), row.map(value)];
    return start === undefined ? [...padding, ...own] : [...own, ...padding];
  };
  return {
    inputIds: prompts.map((row) => padded(row, (id) => id)),
    ...prompts.some((row) => row.length !== width) && {
      attentionMask: prompts.map((row) => padded(row, () => 1)),
      ...start === undefined && { positionIds: prompts.map((row) => padded(row, (_, i) => i)) },
    },
    ...start !== undefined && { decoderInputIds: prompts.map(() => [start]) },
    ...rows && { rows },
  };
}

/**
 * The n-th new token of each row; a finished row is fed at its first position, which is within any context.
 */
function tokenBatch(
  prompts: readonly (readonly number[])[],
  first: Batch,
  ids: readonly number[],
  n: number,
  open: ReadonlySet<number>,
): Batch {
  const next = ids.map((id) => [id]);
  const named = first.rows && { rows: first.rows };
  if (first.decoderInputIds !== undefined) {
    return { inputIds: first.inputIds, decoderInputIds: next, ...named };
  }
  return {
    ...named,
    inputIds: next,
    ...(first.positionIds || open.size < prompts.length) && {
      positionIds: prompts.map((prompt, row) => [open.has(row) ? prompt.length + n - 1 : 0]),
    },
  };
}

/** Cached positions available to each row: the context minus the positions of its adapter's prefixes. */
function contextsOf(model: Model, batch: Batch): readonly number[] {
  const room = ({ weights }: Model): number => contextOf(model) - prefixPositions(rootOf(weights));
  const groups = rowGroups(model, batch);
  if (groups === undefined) return batch.inputIds.map(() => room(model));
  const rooms = new Map(groups.flatMap(({ rows, model }) => rows.map((row) => [row, room(model)])));
  return batch.inputIds.map((_, row) => rooms.get(row)!);
}

/** Cached positions of a row, padding included: rows under other adapters may have other prompts. */
function cachedFor(row: number, cache: Cache): number {
  return (cache.rows?.find(({ rows }) => rows.includes(row))?.cache ?? cache).length;
}

/**
 * Cached positions that the model supports, including an adapter's prompts. Decoders of encoder-decoder
 * models have only relative positions, hence no limit.
 */
function contextOf(model: Model): number {
  if (model.architecture.decoderStart !== undefined) return Infinity;
  const limit = model.config["max_position_embeddings"] ?? model.config["n_positions"];
  return typeof limit === "number" ? limit : Infinity;
}

/**
 * The ids that end a text.
 *
 * @example
 * ```ts
 * import { eosTokenIds, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel({ ...smallConfig("llama"), eos_token_id: [2, 7] }, {
 *   backend: reference(),
 *   key: 0,
 *   tokenizer: { encode: () => [], decode: () => "", eos: 2 },
 * });
 * assert.deepEqual(eosTokenIds(model, undefined), new Set([2, 7]));
 * assert.deepEqual(eosTokenIds(model, 5), new Set([5]));
 * ```
 */
export function eosTokenIds(model: Model, eos: number | readonly number[] | undefined): ReadonlySet<number> {
  const named = eos ?? [model.config["eos_token_id"], model.tokenizer.eos].flat();
  return new Set([named].flat().filter((id): id is number => typeof id === "number"));
}
