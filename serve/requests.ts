/** Parses the body of a request to options of the engine. */
import type { Sampler } from "../core/mod.ts";
import type { ChatMessage } from "../formats/chat_template.ts";
import { isObject } from "../formats/strict_json.ts";
import { booleanField, type Fields, neutralField, numberField, shown, textsField, wrong } from "./fields.ts";
import { Problem } from "./problem.ts";

/** Fields common to both kinds of requests. */
export interface GenerationRequest {
  /** The model's name as the client wrote it. */
  readonly model: string;
  /** Number of texts for each prompt. */
  readonly n: number;
  readonly maxTokens: number | undefined;
  readonly sampler: Sampler | undefined;
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  readonly stream: boolean;
  /** Whether to end a stream with a chunk of token counts. */
  readonly includeUsage: boolean;
}

/** A request to /v1/chat/completions. */
export interface ChatRequest extends GenerationRequest {
  readonly messages: readonly ChatMessage[];
}

/** A request to /v1/completions. */
export interface CompletionRequest extends GenerationRequest {
  /** Texts or token ids, each continued. */
  readonly prompts: readonly (string | readonly number[])[];
}

/** Maximum number of prompts in one request, and of texts per prompt. */
const MOST_PROMPTS = 64;
const MOST_TEXTS = 128;

const COMMON = [
  ...[
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "n",
  ],
  // Fields that are accepted but do not affect the text.
  ...["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"],
  // Fields that must have values without effect.
  ...["logprobs", "frequency_penalty", "presence_penalty", "logit_bias"],
];
const CHAT = [
  ...COMMON,
  ...["messages", "max_completion_tokens", "top_logprobs", "response_format", "modalities"],
  ...["tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"],
];
const COMPLETION = [...COMMON, "prompt", "suffix", "echo", "best_of"];

/** Reads a chat request; `advised` is how tokens are drawn where it does not say it. @throws {Problem} naming the invalid field. */
export function parseChatRequest(body: Fields, advised?: Sampler): ChatRequest {
  checkNames(body, CHAT);
  const empty = (value: unknown): boolean => Array.isArray(value) && value.length === 0;
  neutralField(body, "tools", empty);
  neutralField(body, "functions", empty);
  neutralField(body, "tool_choice", (value) => value === "none" || value === "auto");
  neutralField(body, "function_call", (value) => value === "none" || value === "auto");
  neutralField(body, "logprobs", (value) => value === false);
  neutralField(body, "top_logprobs", (value) => value === 0);
  neutralField(body, "response_format", (value) => isObject(value) && value["type"] === "text");
  neutralField(body, "modalities", (value) => JSON.stringify(value) === '["text"]');
  const newest = numberField(body, "max_completion_tokens", { from: 1, integer: true });
  const asked = common(body, advised);
  return { ...asked, maxTokens: newest ?? asked.maxTokens, messages: messagesOf(body["messages"]) };
}

/** As `parseChatRequest`, of a completion request. @throws {Problem} naming the invalid field. */
export function parseCompletionRequest(body: Fields, advised?: Sampler): CompletionRequest {
  checkNames(body, COMPLETION);
  neutralField(body, "suffix", (value) => value === "");
  neutralField(body, "echo", (value) => value === false);
  neutralField(body, "best_of", (value) => value === 1);
  neutralField(body, "logprobs", () => false);
  const asked = common(body, advised);
  return { ...asked, maxTokens: asked.maxTokens ?? 16, prompts: promptsOf(body["prompt"]) };
}

function common(body: Fields, advised: Sampler | undefined): GenerationRequest {
  const { model } = body;
  if (typeof model !== "string" || model === "") throw wrong("model", "the name of a model", model);
  neutralField(body, "frequency_penalty", (value) => value === 0);
  neutralField(body, "presence_penalty", (value) => value === 0);
  neutralField(body, "logit_bias", (value) => isObject(value) && Object.keys(value).length === 0);
  const stream = booleanField(body, "stream");
  const how = body["stream_options"] ?? undefined;
  if (how !== undefined && !(stream && isObject(how))) {
    throw wrong("stream_options", 'an object beside "stream": true', how);
  }
  return {
    model,
    n: numberField(body, "n", { from: 1, to: MOST_TEXTS, integer: true }) ?? 1,
    maxTokens: numberField(body, "max_tokens", { from: 1, integer: true }),
    sampler: samplerOf(body, advised),
    seed: numberField(body, "seed", { from: 0, integer: true }),
    stop: textsField(body, "stop", 4),
    stream,
    includeUsage: how !== undefined && booleanField(how as Fields, "include_usage"),
  };
}

/** Fields that are missing are as the model's makers advise. Without either the best token is taken, as at temperature 0. */
function samplerOf(body: Fields, advised: Sampler | undefined): Sampler | undefined {
  const temperature = numberField(body, "temperature", { from: 0, to: 2 });
  const topP = numberField(body, "top_p", { from: 0, to: 1 }) ?? advised?.topP;
  const topK = numberField(body, "top_k", { from: 1, integer: true }) ?? advised?.topK;
  if (temperature === 0 || topP === 0) return undefined;
  const heat = temperature ?? advised?.temperature;
  if (heat === undefined && topP === undefined && topK === undefined) return undefined;
  return { temperature: heat ?? 1, ...topP !== undefined && { topP }, ...topK !== undefined && { topK } };
}

const ROLES = ["system", "developer", "user", "assistant"];

function messagesOf(value: unknown): readonly ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong("messages", "a list of messages", value);
  return value.map((message, i) => {
    const at = `messages[${i}]`;
    if (!isObject(message)) throw wrong(at, "a message with role and content", message);
    const { role, content, ...others } = message;
    if (typeof role !== "string" || !ROLES.includes(role)) {
      throw wrong(`${at}.role`, `one of ${ROLES.join(", ")}`, role);
    }
    const { tool_calls: calls, name } = others;
    if (Array.isArray(calls) && calls.length > 0) throw wrong(`${at}.tool_calls`, "absent", calls);
    return {
      role: role === "developer" ? "system" : role,
      content: contentOf(`${at}.content`, content),
      ...typeof name === "string" && { name },
    };
  });
}

/** A string, or parts that are text. */
function contentOf(at: string, content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw wrong(at, "a text", content);
  return content.map((part, i) => {
    if (isObject(part) && part["type"] === "text" && typeof part["text"] === "string") return part["text"];
    throw wrong(`${at}[${i}]`, 'a part of type "text", for the model reads nothing else', part);
  }).join("");
}

function promptsOf(value: unknown): readonly (string | readonly number[])[] {
  const isIds = (v: unknown): v is readonly number[] =>
    Array.isArray(v) && v.length > 0 && v.every((id) => Number.isSafeInteger(id) && id >= 0);
  if (typeof value === "string") return [value];
  if (isIds(value)) return [value];
  const good = Array.isArray(value) && value.length > 0 && value.length <= MOST_PROMPTS &&
    value.every((prompt) => typeof prompt === "string" || isIds(prompt));
  if (good) return value;
  throw wrong("prompt", `a text, token ids, or a list of up to ${MOST_PROMPTS} of either`, value);
}

function checkNames(body: Fields, known: readonly string[]): void {
  const unknown = Object.keys(body).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new Problem(`There is no field ${shown(unknown)} here: leave it out`, {
    param: unknown,
    code: "unknown_parameter",
  });
}
