/** One text that is being written: what was asked, what stands there by now, and when it is over. */
import { eosTokenIds, fold, key as keyOf, type Model, type Sampler, type StopReason } from "../core/mod.ts";
import { incrementalText, stopsOf } from "../core/running/incremental_text.ts";
import { checkInVocabulary } from "../core/running/vocabulary_check.ts";
import { checkSampler, sampleToken } from "../ops/mod.ts";

/** What is asked of the engine. */
export interface Job {
  /** Token ids, at least one. */
  readonly prompt: readonly number[];
  /** The adapter's name; null for the bare base. */
  readonly adapter: string | null;
  /** At most so many new tokens; from 1. */
  readonly maxTokens: number;
  /** Default: always the best-scoring token. */
  readonly sampler?: Sampler;
  /** Of the draws: same seed, same text, whatever else is in the batch. */
  readonly seed: number;
  /** Texts that end the text, and are left out of it. */
  readonly stop: readonly string[];
}

/** A finished text. */
export interface Written {
  /** The new text alone. */
  readonly text: string;
  /** "stop" at an end-of-text token or a stop string, "length" where the tokens ran out. */
  readonly reason: "stop" | "length";
  /** New tokens, the one that ended the text included. */
  readonly tokens: number;
}

/** A text in the making. */
export interface Writing {
  readonly job: Job;
  /** Tokens so far. */
  readonly ids: readonly number[];
  /** Chooses the next token from the scores [v]. Returns the result when that was the last one. */
  take(scores: Float32Array): Written | undefined;
}

/**
 * Begins a text. `hear` gets each certain piece as it comes; together they are the text.
 *
 * @throws {RangeError} on an option out of its range.
 */
export function writing(model: Model, job: Job, hear: (piece: string) => void): Writing {
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
      // The draws of `generateIds` for a prompt alone.
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

/** The first of the largest scores. @throws {RangeError} when none is a number. */
function best(scores: Float32Array): number {
  let at = 0;
  for (let i = 1; i < scores.length; i++) if (!(scores[i]! <= scores[at]!)) at = i;
  if (!Number.isFinite(scores[at]!)) throw new RangeError(`Cannot choose a token: a score is ${scores[at]}`);
  return at;
}
