/**
 * The head of a decoder: scores of the next token, or, of transformers' `…ForSequenceClassification`, classes or scores of a whole
 * text, W x of the state x of its last token, with a matrix named "score" and no bias. So reward models are made.
 */
import type { Batch, ModelConfig, States } from "../core/mod.ts";
import { gatherRows, integers, reshape } from "../ops/mod.ts";
import { classCount } from "./classes.ts";
import { rangeError } from "../errors/error.ts";

/** The name of the head of texts. */
export const TEXT_HEAD = "score";

/** How many classes or scores a text gets; undefined where the head is about the next token. */
export function textClasses(config: ModelConfig): number | undefined {
  const [name] = (config["architectures"] ?? []) as readonly unknown[];
  return typeof name === "string" && name.endsWith("ForSequenceClassification")
    ? classCount(config)
    : undefined;
}

/** Whether a checkpoint is of transformers' `…Model`, which has no head. */
export function isHeadless(config: ModelConfig): boolean {
  const [name] = (config["architectures"] ?? []) as readonly unknown[];
  return typeof name === "string" && /^[A-Za-z0-9]+Model$/.test(name);
}

/**
 * A tensor's path in such a checkpoint: the scores of tokens are no part of a model that scores texts or none. A model that was
 * saved without a head has no "model." before its names.
 */
export function decoderWeightPath(config: ModelConfig, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  if (path.startsWith("lm_head.")) {
    return textClasses(config) !== undefined || isHeadless(config) ? undefined : path;
  }
  return /^(layers|embed_tokens|norm)\./.test(path) ? `model.${path}` : path;
}

/** The states of the last token of each row [b, d], padding on either side left out. */
export function lastStates({ states, cache }: States, { attentionMask }: Batch): States {
  const [b, t, d] = states.shape as [number, number, number];
  const last = Array.from({ length: b }, (_, i) => {
    const end = attentionMask?.[i]?.lastIndexOf(1) ?? t - 1;
    if (end < 0) throw rangeError("INVALID_BATCH", `Cannot score row ${i}: it is all padding`);
    return i * t + end;
  });
  return { states: gatherRows(reshape(states, [b * t, d]), integers(last, states.backend)), cache };
}
