/** One text being generated: the request, the text so far, and when it is finished. */
import { eosTokenIds, fold, key as keyOf, type Model, type Sampler, type StopReason } from "../core/mod.ts";
import { incrementalText, stopsOf } from "../core/running/incremental_text.ts";
import { checkInVocabulary } from "../core/running/vocabulary_check.ts";
import { checkSampler, sampleToken } from "../ops/mod.ts";
import { rangeError } from "../errors/error.ts";

/** A request to the engine. */
export interface Job {
  /** Token ids, at least one. */
  readonly prompt: readonly number[];
  /** The adapter's name; null for the bare base. */
  readonly adapter: string | null;
  /** Maximum number of new tokens, at least 1. */
  readonly maxTokens: number;
  /** Default: always the best-scoring token. */
  readonly sampler?: Sampler;
  /** Seed of the sampling: the same seed gives the same text, whatever else is in the batch. */
  readonly seed: number;
  /** Strings that end the text, and are not included in it. */
  readonly stop: readonly string[];
  /** Cancels the text: its promise rejects with the reason, and its place becomes free at once. */
  readonly signal?: AbortSignal;
}

/** A finished text. */
export interface Written {
  /** Only the new text. */
  readonly text: string;
  /** "stop" at an end-of-text token or a stop string, "length" at the maximum number of tokens. */
  readonly reason: "stop" | "length";
  /** Number of new tokens, including the one that ended the text. */
  readonly tokens: number;
}

/** A text being generated. */
export interface Writing {
  readonly job: Job;
  /** The tokens so far. */
  readonly ids: readonly number[];
  /** Chooses the next token from the scores [v]. Returns the result if that was the last one. */
  take(scores: Float32Array): Written | undefined;
}

/**
 * Begins a text. `hear` is called with each final chunk; together they are the text.
 *
 * @throws {RangeError} on an option out of range.
 */
export function writing(model: Model, job: Job, hear: (chunk: string) => void): Writing {
  const { sampler, stop, maxTokens, prompt } = job;
  if (sampler !== undefined) checkSampler(sampler);
  const { tokenizer } = model;
  const { ids: stopIds, texts: stops } = stopsOf(tokenizer, stop);
  const ends = new Set([...eosTokenIds(model, undefined), ...stopIds]);
  const before = model.architecture.decoderStart === undefined ? prompt : [];
  const seed = keyOf(job.seed);
  const ids: number[] = [];
  let text = "";
  return {
    job,
    ids,
    take: (scores) => {
      // Samples the same as `generateIds` for a single prompt.
      const id = sampler === undefined
        ? best(scores)
        : sampleToken(scores, sampler, fold(fold(seed, ids.length + 1), 0));
      ids.push(id);
      const ending: StopReason = ends.has(id) ? "eos" : ids.length === maxTokens ? "length" : undefined;
      if (ending !== "eos") checkInVocabulary(model, id);
      const grown = incrementalText(tokenizer, before, ids, ending, stops);
      if (grown.text.length > text.length) {
        hear(grown.text.slice(text.length));
        text = grown.text;
      }
      if (ending === undefined && !grown.stopped) return undefined;
      return { text, reason: grown.stopped || ending === "eos" ? "stop" : "length", tokens: ids.length };
    },
  };
}

/** The index of the first largest score. @throws {RangeError} when all are NaN. */
function best(scores: Float32Array): number {
  let at = 0;
  for (let i = 1; i < scores.length; i++) if (!(scores[i]! <= scores[at]!)) at = i;
  if (!Number.isFinite(scores[at]!)) {
    throw rangeError("NOT_FINITE", `Cannot choose a token: a score is ${scores[at]}`);
  }
  return at;
}
