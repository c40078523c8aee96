/**
 * A conversation as one row in which every message that is learned has labels, by differences of what the model's chat template
 * writes. With T(n) the template's text of the first n messages and T⁺(n) the same with the opening of an answer, the row is, for
 * the learned messages i < j < … ,
 *
 *     T⁺(i) | T(i + 1) − T⁺(i) | T⁺(j) − T(i + 1) | T(j + 1) − T⁺(j) | …
 *
 * where the second, fourth, … parts are learned: what the model has to write after what it is given, its end token included, as in
 * TRL's training templates. Templates that rewrite earlier turns, as Qwen3's does when it drops their thoughts, are continued after
 * what the two texts share, so that each answer is learned in the form in which it is written first.
 */
import type { EncodeOptions, ExampleTokenizer } from "./example_tokenizer.ts";
import { type Location, showLocation } from "./jsonl.ts";
import type { ChatMessage, Conversation } from "./messages.ts";
import { IGNORED, joinTokens, type Tokens } from "./truncation.ts";
import { rangeError } from "../errors/error.ts";

/** A part of the text of a conversation. */
export interface ConversationPart {
  /** The text. */
  readonly text: string;
  /** Whether its tokens have labels. */
  readonly learned: boolean;
}

/**
 * The text of a conversation in parts, given and learned ones in turn.
 *
 * @throws {RangeError} when the template drops a message, or rewrites what comes before an answer.
 * @throws whatever the template throws, with the location before it.
 * @example
 * ```ts
 * import { conversationParts } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const tokenizer = {
 *   encode: () => [],
 *   chat: (messages: readonly { role: string; content: string }[], options?: { addGenerationPrompt?: boolean }) =>
 *     messages.map(({ role, content }) => `<${role}>${content};`).join("") +
 *     (options?.addGenerationPrompt ? "<assistant>" : ""),
 * };
 * const messages = [["user", "a"], ["assistant", "b"], ["user", "c"], ["assistant", "d"]]
 *   .map(([role, content]) => ({ role: role!, content: content! }));
 * assert.deepEqual(
 *   conversationParts({ messages, learned: [1, 3] }, tokenizer).map(({ text, learned }) => [text, learned]),
 *   [["<user>a;<assistant>", false], ["b;", true], ["<user>c;<assistant>", false], ["d;", true]],
 * );
 * ```
 */
export function conversationParts(
  { messages, learned, tools }: Conversation,
  tokenizer: ExampleTokenizer,
  at?: Location,
): readonly ConversationPart[] {
  const where = at === undefined ? "" : `${showLocation(at)}: `;
  const variables = tools === undefined ? {} : { variables: { tools } };
  const render = (count: number, addGenerationPrompt: boolean): string => {
    try {
      return tokenizer.chat(messages.slice(0, count), { addGenerationPrompt, ...variables });
    } catch (cause) {
      throw rangeError(
        "DATA_INVALID",
        `${where}the chat template refuses the conversation: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
  };
  const parts: ConversationPart[] = [];
  let known = "";
  for (const i of learned) {
    const whole = render(i + 1, false);
    const opened = render(i, true);
    // Where the opening of an answer is not how an answer begins, only what they share is given.
    const opening = opened.slice(0, sharedLength(opened, whole));
    if (opening.length < sharedLength(render(i, false), opened)) {
      throw rangeError(
        "DATA_INVALID",
        `${where}the chat template rewrites what comes before message ${i}: it cannot be learned`,
      );
    }
    const given = continued(known, opening);
    if (given === undefined) {
      throw rangeError(
        "DATA_INVALID",
        `${where}the chat template drops an answer before message ${i} when the conversation goes on`,
      );
    }
    parts.push({ text: given, learned: false }, { text: whole.slice(opening.length), learned: true });
    known = whole;
  }
  checkKept(messages, learned, parts, where);
  return parts;
}

/**
 * One row of a conversation. Where the template does not end an answer by a special token, the last answer is closed by the end
 * token in place of the white space after it. Of too long a conversation of several answers those at the end are left out ("head") or
 * its beginning is cut ("tail").
 *
 * @throws {RangeError} as `conversationParts` and `joinTokens`, or when a conversation is too long and must not be cut.
 */
export function encodeConversation(
  conversation: Conversation,
  tokenizer: ExampleTokenizer,
  options: EncodeOptions & { readonly eos: number; readonly at?: Location },
): Tokens {
  const { maxLength, longPrompt, eos, at } = options;
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const texts = conversationParts(conversation, tokenizer, at);
  const parts = texts.map(({ text, learned }, i) => ({
    learned,
    ids: i === texts.length - 1 ? closed(text, tokenizer, eos) : encode(text),
  }));
  const total = parts.reduce((sum, { ids }) => sum + ids.length, 0);
  if (total <= maxLength) return joined(parts);
  const where = at === undefined ? "" : `${showLocation(at)}: `;
  const last = parts.at(-1)!.ids;
  const place = { maxLength, longPrompt, ...at && { at } };
  if (parts.length === 2) {
    const body = encode(tokenizer.chat(conversation.messages.slice(0, -1), chatOptions(conversation)));
    const given = parts[0]!.ids;
    const isBefore = body.length <= given.length && body.every((id, i) => id === given[i]);
    const prompt = isBefore ? { body, after: given.slice(body.length) } : { body: given };
    return joinTokens(prompt, last, place);
  }
  if (longPrompt === "refuse") {
    throw rangeError(
      "TEXT_TOO_LONG",
      `${where}the conversation has ${total} tokens, more than the ${maxLength} that a row may have; raise maxLength or keep only its head or tail`,
    );
  }
  if (longPrompt.keep === "head") {
    const shorter = { ...conversation, learned: conversation.learned.slice(0, -1) };
    const end = shorter.learned.at(-1)! + 1;
    return encodeConversation(
      { ...shorter, messages: conversation.messages.slice(0, end) },
      tokenizer,
      options,
    );
  }
  if (last.length >= maxLength) return joinTokens({ body: [] }, last, place); // says what is too long
  const { inputIds, labels } = joined(parts);
  return { inputIds: inputIds.slice(-maxLength), labels: labels.slice(-maxLength) };
}

const chatOptions = ({ tools }: Conversation): { readonly variables?: Readonly<Record<string, unknown>> } =>
  tools === undefined ? {} : { variables: { tools } };

function joined(parts: readonly { readonly ids: readonly number[]; readonly learned: boolean }[]): Tokens {
  return {
    inputIds: parts.flatMap(({ ids }) => ids),
    labels: parts.flatMap(({ ids, learned }) => learned ? ids : ids.map(() => IGNORED)),
  };
}

/** The ids of the last answer, with an end. */
function closed(text: string, tokenizer: ExampleTokenizer, eos: number): readonly number[] {
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const trimmed = encode(text.trimEnd());
  const end = trimmed.at(-1);
  const special = end === eos ||
    (end !== undefined && tokenizer.decode?.([end], { skipSpecialTokens: true }) === "");
  return special ? encode(text) : [...trimmed, eos];
}

/** How many characters two texts begin with alike. */
function sharedLength(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** What `next` has after `known`, of which a beginning may be written in another way; undefined where it cannot be told. */
function continued(known: string, next: string): string | undefined {
  if (next.startsWith(known)) return next.slice(known.length);
  const shared = sharedLength(known, next);
  const [was, is] = [known.slice(shared), next.slice(shared)];
  for (let n = Math.min(was.length, is.length); n > 0; n--) {
    if (was.endsWith(is.slice(0, n))) return is.slice(n);
  }
  return undefined;
}

/** @throws {RangeError} when the content of a message, or the name of a tool that it calls, is nowhere in the text. */
function checkKept(
  messages: readonly ChatMessage[],
  learned: readonly number[],
  parts: readonly ConversationPart[],
  where: string,
): void {
  const text = parts.map((part) => part.text).join("");
  messages.forEach(({ role, content }, i) => {
    if (role === "tool") return; // templates write what tools say as JSON
    const own = learned.includes(i) ? parts[2 * learned.indexOf(i) + 1]!.text : text;
    // Templates may leave out what an assistant thought.
    const kept = role === "assistant" ? content.split("</think>").at(-1)! : content;
    if (!own.includes(kept.trim())) {
      throw rangeError("DATA_INVALID", `${where}the chat template drops message ${i}, of role "${role}"`);
    }
    const dropped = calledTools(messages[i]!).find((name) => !own.includes(name));
    if (dropped !== undefined) {
      throw rangeError(
        "DATA_INVALID",
        `${where}the chat template drops the call of "${dropped}" in message ${i}: it knows no tools`,
      );
    }
  });
}

/** Names of the tools that a message calls, as OpenAI writes them, or plain. */
function calledTools({ tool_calls: calls }: ChatMessage): readonly string[] {
  if (!Array.isArray(calls)) return [];
  return calls.flatMap(
    (call: { readonly name?: unknown; readonly function?: { readonly name?: unknown } } | null) => {
      const name = call?.function?.name ?? call?.name;
      return typeof name === "string" ? [name] : [];
    },
  );
}
