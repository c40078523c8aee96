/**
 * Chat templates: Jinja programs in checkpoints, which format a conversation as the text that the model was
 * tuned on. Rendered by `@huggingface/jinja`, with the variables that transformers' `apply_chat_template`
 * provides.
 */
import { Template } from "@huggingface/jinja";
import { syntaxError, typeError } from "../errors/error.ts";

/** One turn of a conversation; templates may read further fields (`tool_calls`, `name`, …). */
export interface ChatMessage {
  /** Usually "system", "user" or "assistant". */
  readonly role: string;
  /** The text of the turn. */
  readonly content: string;
  /** Other fields that the template reads. */
  readonly [field: string]: unknown;
}

/** Options of rendering. */
export interface ChatOptions {
  /** Append the opening of the assistant's turn. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Further variables of the template, such as `tools`, or special tokens by their names (`bos_token`). */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * Compiles a chat template: a function from messages to text.
 *
 * @param source The Jinja program.
 * @throws {SyntaxError} when the program cannot be parsed.
 * @example
 * ```ts
 * import { chatTemplate } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const template = chatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
 * assert.equal(template([{ role: "user", content: "Hello" }]), "<user>Hello");
 * ```
 */
export function chatTemplate(
  source: string,
): (messages: readonly ChatMessage[], options?: ChatOptions) => string {
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw syntaxError(
      "TOKENIZER_UNSUPPORTED",
      `Cannot parse the chat template: ${(cause as Error).message}`,
      { cause },
    );
  }
  return (messages, { addGenerationPrompt = false, variables = {} } = {}) =>
    template.render({
      tools: null,
      documents: null,
      ...variables,
      messages,
      add_generation_prompt: addGenerationPrompt,
    });
}

/**
 * The template text in the `chat_template` field of tokenizer_config.json: a string, or a list of named ones,
 * of which the one named "default" is used.
 *
 * @returns undefined when there is none.
 * @throws {TypeError} when it is a list without "default"; the message lists the names.
 * @example
 * ```ts
 * import { chatTemplateSource } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const templates = [{ name: "default", template: "a" }, { name: "tool_use", template: "b" }];
 * assert.equal(chatTemplateSource(templates), "a");
 * assert.equal(chatTemplateSource(null), undefined);
 * ```
 */
export function chatTemplateSource(field: unknown): string | undefined {
  if (field === undefined || field === null || typeof field === "string") return field ?? undefined;
  const named = Array.isArray(field)
    ? field.map(({ name, template }): [string, unknown] => [String(name), template])
    : Object.entries(field);
  const found = named.find(([name]) => name === "default")?.[1];
  if (typeof found !== "string") {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      `Expected a chat template named "default" but found ${named.map(([name]) => `"${name}"`).join(", ")}`,
    );
  }
  return found;
}
