/** `generate`: generates text with a model. */
import { continueIds, eosTokenIds, type GenerateIdsOptions } from "./generate_ids.ts";
import { incrementalText, stopsOf } from "./incremental_text.ts";
import { checkInVocabulary } from "./vocabulary_check.ts";
import type { Model } from "../trees/model.ts";

/** How to continue a text. */
export interface GenerateOptions extends GenerateIdsOptions {
  /** Strings that end the text. It is cut before the first one. */
  readonly stop?: readonly string[];
}

/** A text, or token ids. */
export type Prompt = string | readonly number[];

/**
 * The text that a model appends to a prompt, or to each of several: without the prompt, the end-of-text token
 * and what follows a stop string. Greedy unless a sampler is given. A text is encoded with the tokenizer's
 * special tokens around it; a chat already contains them, so encode it without and pass the ids. For ids, use
 * `generateIds`.
 *
 * @throws {RangeError} when a prompt is empty or longer than the context, an option is out of range, or the
 *   model generates ids that its tokenizer does not have.
 * @throws the signal's reason when it is aborted.
 * @example
 * ```ts
 * import { freshModel, generate, reference, smallConfig, type TextCodec } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const letters: TextCodec = {
 *   encode: (text) => [...text].map((letter) => letter.charCodeAt(0) - 97),
 *   decode: (ids) => String.fromCharCode(...ids.map((id) => id + 97)),
 * };
 * const config = smallConfig("llama", { vocabulary: 26 });
 * const model = freshModel(config, { backend: reference(), key: 0, tokenizer: letters });
 * const text = await generate(model, "hello", { maxNewTokens: 4 });
 * assert.match(text, /^[a-z]{4}$/);
 * const [first] = await generate(model, ["hello", "world"], { maxNewTokens: 4 });
 * assert.equal(first, text); // prompts of a batch do not influence each other
 * ```
 */
export function generate(model: Model, prompt: Prompt, options: GenerateOptions): Promise<string>;
/** One prompt, one text. */
export function generate(
  model: Model,
  prompts: readonly Prompt[],
  options: GenerateOptions,
): Promise<string[]>;
export async function generate(
  model: Model,
  prompt: Prompt | readonly Prompt[],
  options: GenerateOptions,
): Promise<string | string[]> {
  options.signal?.throwIfAborted();
  const many = typeof prompt === "object" && typeof prompt[0] !== "number" && prompt.length > 0;
  const { tokenizer } = model;
  const prompts = ((many ? prompt : [prompt]) as readonly Prompt[])
    .map((p) => typeof p === "string" ? tokenizer.encode(p) : p);
  const { ids: stopIds, texts: stops } = stopsOf(tokenizer, options.stop ?? []);
  const eos = [...eosTokenIds(model, options.eos), ...stopIds];
  const everyToken = stops.length > 0 || options.onToken !== undefined;
  const continues = model.architecture.decoderStart === undefined;
  const texts = prompts.map(() => "");
  await continueIds(model, prompts, { ...options, eos }, (row, ids, ending) => {
    if (ending !== "eos") checkInVocabulary(model, ids[ids.length - 1]!);
    if (!everyToken && ending === undefined) return false;
    const given = texts[row]!;
    const grown = incrementalText(tokenizer, continues ? prompts[row]! : [], ids, ending, stops);
    texts[row] = grown.text.length < given.length ? given : grown.text;
    options.onToken?.({ row, id: ids[ids.length - 1]!, text: texts[row]!.slice(given.length) });
    return grown.stopped;
  });
  return many ? texts : texts[0]!;
}
