/** What goes back: OpenAI's objects, whole or in chunks. */
import type { Written } from "./text_job.ts";

/** What all objects of one answer share. */
export interface Heading {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The model's name as it was asked for. */
  readonly model: string;
}

/** Counts of tokens. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** The kind of interface: their objects differ. */
export interface Form {
  /** Beginning of ids. */
  readonly prefix: string;
  whole(heading: Heading, texts: readonly Written[], usage: Usage): unknown;
  /** Sent before any text of a choice; undefined where nothing is. */
  first(heading: Heading, index: number): unknown | undefined;
  piece(heading: Heading, index: number, text: string): unknown;
  last(heading: Heading, index: number, reason: Written["reason"]): unknown;
  /** The counts at the end. */
  counts(heading: Heading, usage: Usage): unknown;
}

/** Counts of an answer. */
export function usageOf(promptTokens: number, texts: readonly Written[]): Usage {
  const written = texts.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: written,
    total_tokens: promptTokens + written,
  };
}

const chatChunk = (
  { id, created, model }: Heading,
  index: number,
  delta: unknown,
  reason: Written["reason"] | null = null,
): unknown => ({
  id,
  object: "chat.completion.chunk",
  created,
  model,
  choices: [{ index, delta, logprobs: null, finish_reason: reason }],
});

/** /v1/chat/completions. */
export const CHAT: Form = {
  prefix: "chatcmpl-",
  whole: ({ id, created, model }, texts, usage) => ({
    id,
    object: "chat.completion",
    created,
    model,
    choices: texts.map(({ text, reason }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: null,
      finish_reason: reason,
    })),
    usage,
  }),
  first: (heading, index) => chatChunk(heading, index, { role: "assistant", content: "" }),
  piece: (heading, index, text) => chatChunk(heading, index, { content: text }),
  last: (heading, index, reason) => chatChunk(heading, index, {}, reason),
  counts: ({ id, created, model }, usage) => ({
    id,
    object: "chat.completion.chunk",
    created,
    model,
    choices: [],
    usage,
  }),
};

const textChunk = (
  { id, created, model }: Heading,
  index: number,
  text: string,
  reason: Written["reason"] | null = null,
): unknown => ({
  id,
  object: "text_completion",
  created,
  model,
  choices: [{ index, text, logprobs: null, finish_reason: reason }],
});

/** /v1/completions. */
export const COMPLETION: Form = {
  prefix: "cmpl-",
  whole: ({ id, created, model }, texts, usage) => ({
    id,
    object: "text_completion",
    created,
    model,
    choices: texts.map(({ text, reason }, index) => ({ index, text, logprobs: null, finish_reason: reason })),
    usage,
  }),
  first: () => undefined,
  piece: textChunk,
  last: (heading, index, reason) => textChunk(heading, index, "", reason),
  counts: ({ id, created, model }, usage) => ({
    id,
    object: "text_completion",
    created,
    model,
    choices: [],
    usage,
  }),
};
