/**
 * Reading a prompt in chunks, between which rows of other texts take steps. Where an adapter looks at a text as a whole it is
 * read in one pass.
 *
 *   chunk i:  keys and values of tokens 64 i … 64 i + 63, which attend to all before them in the cache
 */
import { typeError } from "../errors/error.ts";
import {
  type Adapter,
  type Edit,
  keep,
  type Model,
  read,
  type Root,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/mod.ts";
import { nextTokenLogits } from "../core/running/next_token_logits.ts";
import type { CachedRows } from "./cache_rows.ts";

/** Tokens of a chunk. The same for every text and load, so that no result depends on what else is written. */
const CHUNK = 64;
/** Fewest tokens of the last chunk: kernels multiply a few rows in another order than many. */
const LEAST = 16;

/** Where the chunks of a prompt of n tokens end. */
export function pieceEnds(n: number): readonly number[] {
  const whole = Math.max(0, Math.ceil((n - LEAST - CHUNK + 1) / CHUNK));
  return [...Array.from({ length: whole }, (_, i) => (i + 1) * CHUNK), n];
}

/**
 * Whether a model with an adapter may read a text in chunks: all its edits treat each token by itself. The encoder of an
 * encoder-decoder model sees the whole text.
 */
export function readsInPieces(model: Model, adapter?: Adapter): boolean {
  if (model.architecture.decoderStart !== undefined) return false;
  return adapter === undefined || adapter.method.edits(adapter.params, model.spec).every(isEachToken);
}

function isEachToken(edit: Edit): boolean {
  switch (edit.kind) {
    case "linear":
      return edit.change.form !== "delta" || edit.change.weight !== undefined; // what a matrix can do
    case "weight":
      return true;
    case "hidden":
    case "prefix":
      return edit.eachToken === true;
    default:
      return false;
  }
}

/** A prompt that has been read: the scores of the first new token, and the cache to continue from, which the caller owns. */
export interface ReadPrompt {
  readonly scores: Float32Array;
  readonly cached: CachedRows;
}

/** A prompt being read. */
export interface Reading {
  /** Reads the next chunk. Returns the result after the last one. */
  step(): Promise<ReadPrompt | undefined>;
  /** Frees what was read, unless it has been returned. */
  dispose(): void;
}

/** Whether passes round, as `ForwardOptions.roundInputs`. */
export interface Rounding {
  readonly roundInputs?: boolean;
}

/** Begins to read a prompt in chunks that end at `ends`, the last of them at its own end. */
export function reading(
  model: Model,
  prompt: readonly number[],
  ends: readonly number[],
  rounding: Rounding = {},
): Reading {
  let [from, root]: [number, Root<CachedRows> | undefined] = [0, undefined];
  const before = (): { readonly cache?: CachedRows["cache"] } =>
    root === undefined ? {} : { cache: root.tree.cache };
  return {
    step: async () => {
      const to = ends.find((end) => end > from)!;
      const inputIds = [prompt.slice(from, to)];
      from = to;
      if (to < prompt.length) {
        const next = scope((): Synchronous<CachedRows> => {
          const { cache } = model.architecture.states(model, { inputIds }, {
            ...before(),
            ...rounding,
            keepCache: true,
          });
          if (cache === undefined) {
            throw typeError(
              "MODEL_UNSUPPORTED",
              `Cannot serve ${model.architecture.name}: it keeps no cache`,
            );
          }
          return { cache, used: [cache.length] };
        });
        if (root === undefined) root = keep(next);
        else root.replace(next);
        return undefined;
      }
      const start = model.architecture.decoderStart?.(model);
      const { result, cached } = scope((): Synchronous<{ result: Tensor; cached: CachedRows }> => {
        const { result, cache } = nextTokenLogits(model, {
          inputIds,
          ...start !== undefined && { decoderInputIds: [[start]] },
        }, { ...before(), ...rounding });
        return { result, cached: { cache, used: [cache.length] } };
      });
      root?.dispose();
      root = undefined;
      const scores = await read(result);
      result.storage.free();
      return { scores, cached };
    },
    dispose: () => {
      root?.dispose();
      root = undefined;
    },
  };
}
