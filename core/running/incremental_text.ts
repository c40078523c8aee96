/** The final part of a growing text: complete characters before any stop string. */
import type { StopReason } from "./generate_ids.ts";
import type { TextCodec } from "../trees/model.ts";
import { rangeError } from "../../errors/error.ts";

/** The text so far. */
export interface IncrementalText {
  /** The part that no later token can change. */
  readonly text: string;
  /** Whether it ended at a stop string. */
  readonly stopped: boolean;
}

/**
 * The final text of the ids appended to a prompt so far: without an end-of-text token, cut before the first
 * stop string, and, unless the row ends, without an incomplete character or the beginning of a stop string at
 * its end.
 */
export function incrementalText(
  tokenizer: TextCodec,
  prompt: readonly number[],
  ids: readonly number[],
  ending: StopReason,
  stops: readonly string[],
): IncrementalText {
  const text = appended(tokenizer, prompt, ending === "eos" ? ids.slice(0, -1) : ids);
  const cut = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0));
  if (cut < Infinity) return { text: text.slice(0, cut), stopped: true };
  return {
    text: ending === undefined ? text.slice(0, text.length - unsure(text, stops)) : text,
    stopped: false,
  };
}

/**
 * The stop strings, separated from those that are special tokens: these never appear in the text and stop by
 * their ids.
 *
 * @throws {RangeError} on an empty stop string.
 */
export function stopsOf(
  tokenizer: TextCodec,
  stop: readonly string[],
): { readonly ids: readonly number[]; readonly texts: readonly string[] } {
  if (stop.includes("")) {
    throw rangeError("INVALID_ARGUMENT", 'Expected stop strings to have characters but found ""');
  }
  const special = (text: string): readonly number[] => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    return ids.length === 1 && tokenizer.decode(ids, { skipSpecialTokens: true }) === "" ? ids : [];
  };
  return { ids: stop.flatMap(special), texts: stop.filter((text) => special(text).length === 0) };
}

/** Some decoders drop a text's first space, so new tokens are decoded after the last few of the prompt. */
function appended(tokenizer: TextCodec, prompt: readonly number[], ids: readonly number[]): string {
  const decode = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecialTokens: true });
  const before = prompt.slice(-4);
  const [front, all] = [decode(before), decode([...before, ...ids])];
  return all.startsWith(front) ? all.slice(front.length) : decode(ids);
}

/**
 * How many characters at the end may still change: an incomplete character, or the beginning of a stop
 * string.
 */
function unsure(text: string, stops: readonly string[]): number {
  const incomplete = /\uFFFD*$/.exec(text)![0].length;
  const begun = stops.flatMap((stop) =>
    Array.from({ length: stop.length - 1 }, (_, i) => i + 1).filter((n) => text.endsWith(stop.slice(0, n)))
  );
  return Math.max(incomplete, 0, ...begun);
}
