/** `generate`: text from a model. */
import { continued, endsOf, type GenerateIdsOptions } from "./generate_ids.ts";
import type { Model, TextCodec } from "./model.ts";

/** How to continue a text. */
export interface GenerateOptions extends GenerateIdsOptions {
  /** Strings that end the text. It is cut before the first one. */
  readonly stop?: readonly string[];
}

/** A text, or token ids. */
export type Prompt = string | readonly number[];

/**
 * The text that a model appends to a prompt, or to each of several: without the prompt, the end-of-text token and what
 * follows a stop string. Greedy unless a sampler is given. A text is encoded with the special tokens that the tokenizer
 * puts around one; a chat already has its own, so encode it without and give the ids. `generateIds` gives ids.
 *
 * @throws {RangeError} when a prompt is empty or longer than the context, or an option is out of range.
 */
export function generate(model: Model, prompt: Prompt, options: GenerateOptions): Promise<string>;
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
  const many = typeof prompt === "object" && typeof prompt[0] !== "number" && prompt.length > 0;
  const { tokenizer } = model;
  const prompts = ((many ? prompt : [prompt]) as readonly Prompt[])
    .map((p) => typeof p === "string" ? tokenizer.encode(p) : p);
  const { ids: stopIds, texts: stops } = stopsOf(tokenizer, options.stop ?? []);
  const eos = [...endsOf(model, options.eos), ...stopIds];
  const everyToken = stops.length > 0 || options.onToken !== undefined;
  const continues = model.architecture.decoderStart === undefined;
  const texts = prompts.map(() => "");
  await continued(model, prompts, { ...options, eos }, (row, ids, ending) => {
    if (!everyToken && ending === undefined) return false;
    const text = appended(
      tokenizer,
      continues ? prompts[row]! : [],
      ending === "eos" ? ids.slice(0, -1) : ids,
    );
    const cut = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0));
    const sure = cut < Infinity
      ? cut
      : ending === undefined
      ? text.length - unsure(text, stops)
      : text.length;
    const given = texts[row]!.length;
    texts[row] = text.slice(0, Math.max(sure, given));
    options.onToken?.({ row, id: ids[ids.length - 1]!, text: texts[row]!.slice(given) });
    return cut < Infinity;
  });
  return many ? texts : texts[0]!;
}

/** Stop strings that are special tokens never show in a text: they stop by their ids. */
function stopsOf(
  tokenizer: TextCodec,
  stop: readonly string[],
): { readonly ids: readonly number[]; readonly texts: readonly string[] } {
  if (stop.includes("")) throw new RangeError('Expected stop strings to have characters but found ""');
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

/** How many last characters may yet change: an incomplete character, or the beginning of a stop string. */
function unsure(text: string, stops: readonly string[]): number {
  const incomplete = /\uFFFD*$/.exec(text)![0].length;
  const begun = stops.flatMap((stop) =>
    Array.from({ length: stop.length - 1 }, (_, i) => i + 1).filter((n) => text.endsWith(stop.slice(0, n)))
  );
  return Math.max(incomplete, 0, ...begun);
}
