/** Which attentions have a prefix, whose rows they read, and fresh ones. */
import {
  type AttentionPlace,
  type Backend,
  fold,
  type Key,
  key as keyOf,
  type PrefixRows,
  type Spec,
} from "../../core/mod.ts";
import { normal } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** An attention with a prefix. */
export interface PrefixPlace {
  readonly place: AttentionPlace;
  /**
   * The first attention with the same rows, under whose path they are stored: `place` itself unless they are
   * shared.
   */
  readonly source: AttentionPlace;
  /** The index of the rows' layer in a table of all layers. */
  readonly number: number;
}

/**
 * All attentions, each with its own rows; or those that read PEFT's table in an encoder-decoder model. PEFT
 * doubles its table of L layers, splits it into keys and values of the decoder's self- and cross-attentions
 * alternately, and drops those of the cross-attentions (peft 0.21, peft_model.py, get_prompt): block i reads
 * layer 2i modulo L.
 *
 * @throws {RangeError} when there is no attention, or with "peft" on a model that lacks one of the stacks or
 * has more than L decoder blocks.
 */
export function prefixPlaces({ attentions, stacks }: Spec, rows: "own" | "peft"): readonly PrefixPlace[] {
  if (attentions.length === 0) {
    throw rangeError("METHOD_DOES_NOT_FIT", "Cannot place prefix-tuning: the model offers no attention");
  }
  if (rows === "own") return attentions.map((place, number) => ({ place, source: place, number }));
  const own = attentions.filter(({ stack, role }) => stack === "decoder" && role === "self");
  const layers = stacks.find(({ stack }) => stack === "encoder")?.layers;
  if (layers === undefined || own.length === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      'Cannot share rows as PEFT does, rows "peft": the model has not an encoder and a decoder',
    );
  }
  if (own.length > layers) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot share rows as PEFT does, rows "peft": its table is for the encoder's ${layers} blocks, and the decoder has ` +
        `${own.length}`,
    );
  }
  const numberOf = ({ layer = 0 }: AttentionPlace): number => 2 * layer % layers;
  return own.map((place) => ({
    place,
    source: own.find((other) => numberOf(other) === numberOf(place))!,
    number: numberOf(place),
  }));
}

/** Normal rows for an attention: k and v [n, kvHeads, headDim], each of a key of its own. */
export function normalRows(
  place: AttentionPlace,
  n: number,
  key: Key | number,
  backend: Backend,
): PrefixRows {
  const rows = (part: "k" | "v") =>
    normal(fold(keyOf(key), `${place.path}.${part}`), [n, place.keyValueHeads, place.headDim], backend);
  return { k: rows("k"), v: rows("v") };
}
