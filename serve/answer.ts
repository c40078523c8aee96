/** Responses: OpenAI's objects, whole or in chunks. */
import type { Written } from "./text_job.ts";

/** Fields common to all objects of one answer. */
export interface Heading {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The model's name as requested. */
  readonly model: string;
}

/** Counts of tokens. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** The kind of endpoint, which determines the objects. */
export interface Form {
  /** Prefix of ids. */
  readonly prefix: string;
  whole(heading: Heading, texts: readonly Written[], usage: Usage): unknown;
  /** Sent before any text of a choice; undefined for nothing. */
  first(heading: Heading, index: number): unknown | undefined;
  chunk(heading: Heading, index: number, text: string): unknown;
  last(heading: Heading, index: number, reason: Written["reason"]): unknown;
  /** The token counts at the end. */
  counts(heading: Heading, usage: Usage): unknown;
}

/** Token counts of an answer. */
export function usageOf(promptTokens: number, texts: readonly Written[]): Usage {
  const written = texts.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: written,
    total_tokens: promptTokens + written,
  };
}

const headed = ({ id, created, model }: Heading, object: string) => ({ id, object, created, model });

/** The last chunk: no choices, only the counts. */
const countsOf = (object: string): Form["counts"] => (heading, usage) => ({
  ...headed(heading, object),
  choices: [],
  usage,
});

const CHAT_CHUNK = "chat.completion.chunk";

const chatChunk = (
  heading: Heading,
  index: number,
  delta: unknown,
  reason: Written["reason"] | null = null,
): unknown => ({
  ...headed(heading, CHAT_CHUNK),
  choices: [{ index, delta, logprobs: null, finish_reason: reason }],
});

/** /v1/chat/completions. */
export const CHAT: Form = {
  prefix: "chatcmpl-",
  whole: (heading, texts, usage) => ({
    ...headed(heading, "chat.completion"),
    choices: texts.map(({ text, reason }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: null,
      finish_reason: reason,
    })),
    usage,
  }),
  first: (heading, index) => chatChunk(heading, index, { role: "assistant", content: "" }),
  chunk: (heading, index, text) => chatChunk(heading, index, { content: text }),
  last: (heading, index, reason) => chatChunk(heading, index, {}, reason),
  counts: countsOf(CHAT_CHUNK),
};

/** The object type of an answer and its chunks. */
const TEXT = "text_completion";

const textChoice = (index: number, text: string, reason: Written["reason"] | null) => ({
  index,
  text,
  logprobs: null,
  finish_reason: reason,
});

const textChunk = (
  heading: Heading,
  index: number,
  text: string,
  reason: Written["reason"] | null = null,
): unknown => ({ ...headed(heading, TEXT), choices: [textChoice(index, text, reason)] });

/** /v1/completions. */
export const COMPLETION: Form = {
  prefix: "cmpl-",
  whole: (heading, texts, usage) => ({
    ...headed(heading, TEXT),
    choices: texts.map(({ text, reason }, index) => textChoice(index, text, reason)),
    usage,
  }),
  first: () => undefined,
  chunk: textChunk,
  last: (heading, index, reason) => textChunk(heading, index, "", reason),
  counts: countsOf(TEXT),
};
