/** What examples need of a tokenizer, and the limits of a row. */
import type { ChatMessage } from "./messages.ts";
import type { LongPrompt } from "./truncation.ts";

/** The interface required of a tokenizer. */
export interface ExampleTokenizer {
  /**
   * Token ids of a text, with special tokens (the default) as the model expects them at the start of a text.
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): readonly number[];
  /** Messages as text by the chat template; with `addGenerationPrompt` up to the start of the answer. */
  chat(
    messages: readonly ChatMessage[],
    options?: {
      readonly addGenerationPrompt?: boolean;
      readonly variables?: Readonly<Record<string, unknown>>;
    },
  ): string;
  /** The text of ids; without special tokens it tells which ids are special. */
  decode?(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /** The token that ends an answer. */
  readonly eos?: number;
}

/** Limits for a row. */
export interface EncodeOptions {
  /** Maximum number of tokens in a row, including the end token. */
  readonly maxLength: number;
  /** What to do with a prompt that is too long. */
  readonly longPrompt: LongPrompt;
}
