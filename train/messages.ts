/**
 * Conversations in records: `messages` of `role` and `content`, as OpenAI, mlx-lm and the hub have them, or `conversations` of
 * `from` and `value`, as ShareGPT has them.
 */
import { type JsonlRecord, kindOf, showLocation } from "./jsonl.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** One message of a conversation. The chat template determines which roles exist. */
export interface ChatMessage {
  /** "system", "user", "assistant", "tool". */
  readonly role: string;
  /** The text of the message; "" where it consists of calls of tools. */
  readonly content: string;
  /** Other fields that the template reads, such as `tool_calls` and `name`. */
  readonly [field: string]: unknown;
}

/** A conversation and which of its messages are learned. */
export interface Conversation {
  /** Up to the last one that is learned. */
  readonly messages: readonly ChatMessage[];
  /** Indices of the assistant's messages that are learned, in order. */
  readonly learned: readonly number[];
  /** Descriptions of the tools that the assistant may call, for the chat template. */
  readonly tools?: readonly unknown[];
}

/** A message with what a record says about learning it. */
interface Turn {
  readonly message: ChatMessage;
  /** Undefined where the record says nothing. */
  readonly learned: boolean | undefined;
}

/**
 * The conversation in a record.
 *
 * @param answers Which of the assistant's messages are learned where the record does not say it by `weight` or `train`.
 * @throws {TypeError} when a field is missing or has the wrong type.
 * @throws {RangeError} when a message is empty, or none is learned.
 */
export function conversationOf(
  record: JsonlRecord,
  shape: "messages" | "sharegpt",
  answers: "last" | "each",
): Conversation {
  const name = shape === "messages" ? "messages" : "conversations";
  const turns = turnsOf(record, name, shape);
  // A first message by the assistant answers nothing, so it is only part of what comes before.
  const answering = turns.flatMap(({ message }, i) => message.role === "assistant" && i > 0 ? [i] : []);
  if (answering.length === 0) {
    throw rangeError(
      "DATA_INVALID",
      `${showLocation(record)}: field "${name}" has no assistant message after another message`,
    );
  }
  const byDefault = answers === "last" ? answering.slice(-1) : answering;
  const learned = answering.filter((i) => turns[i]!.learned ?? byDefault.includes(i));
  if (learned.length === 0) {
    throw rangeError(
      "DATA_INVALID",
      `${showLocation(record)}: no message of field "${name}" is trained: its weights are all 0`,
    );
  }
  const tools = toolsOf(record);
  return {
    messages: turns.slice(0, learned.at(-1)! + 1).map(({ message }) => message),
    learned,
    ...tools !== undefined && { tools },
  };
}

/** The messages of a field, checked. @throws as `conversationOf`. */
export function messagesIn(record: JsonlRecord, name: string): readonly ChatMessage[] {
  return turnsOf(record, name, "messages").map(({ message }) => message);
}

function turnsOf(record: JsonlRecord, name: string, shape: "messages" | "sharegpt"): readonly Turn[] {
  const where = `${showLocation(record)}: field "${name}"`;
  const list = listOf(record, name);
  if (list === undefined) throw typeError("DATA_INVALID", `${where} is missing`);
  if (!Array.isArray(list)) {
    throw typeError("DATA_INVALID", `${where} must be an array but is ${kindOf(list)}`);
  }
  if (list.length === 0) throw rangeError("DATA_INVALID", `${where} is empty`);
  const wanted = shape === "messages" ? "{ role, content }" : "{ from, value }";
  const turns = list.map((item: unknown, i): Turn => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) {
      throw typeError("DATA_INVALID", `${where}, message ${i}: expected ${wanted} but found ${kindOf(item)}`);
    }
    const fields = item as Record<string, unknown>;
    const at = `${where}, message ${i}`;
    return shape === "messages" ? plainTurn(fields, at) : shareGptTurn(fields, at);
  });
  const system = shape === "sharegpt" ? record.value["system"] : undefined;
  return typeof system === "string" && system !== "" && turns[0]!.message.role !== "system"
    ? [{ message: { role: "system", content: system }, learned: undefined }, ...turns]
    : turns;
}

function plainTurn(fields: Readonly<Record<string, unknown>>, at: string): Turn {
  const { role, content, weight, train, ...others } = fields;
  // Parquet gives every message of a column the fields of all of them.
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== null));
  const calls = Array.isArray(given["tool_calls"]) && given["tool_calls"].length > 0;
  const message = checked({ ...given, role, content: content === null && calls ? "" : content }, at, calls);
  return { message, learned: learnedOf(weight, train, at) };
}

/** Names that conversations of ShareGPT have for roles. */
const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  assistant: "assistant",
  model: "assistant",
  system: "system",
  tool: "tool",
  observation: "tool",
  function_response: "tool",
  function_call: "assistant",
};

function shareGptTurn(fields: Readonly<Record<string, unknown>>, at: string): Turn {
  const { from, value, weight, train } = fields;
  const role = typeof from === "string" ? ROLES[from] : undefined;
  if (role === undefined) {
    const found = from === undefined ? "it is missing" : JSON.stringify(from);
    throw typeError(
      "DATA_INVALID",
      `${at}: expected "from" to be one of ${Object.keys(ROLES).join(", ")} but found ${found}`,
    );
  }
  const learned = learnedOf(weight, train, at);
  if (from === "function_call") {
    return { message: { role, content: "", tool_calls: callsIn(value, at) }, learned };
  }
  return { message: checked({ role, content: value }, at, false, "value"), learned };
}

/** Calls of tools written as JSON: an object of `name` and `arguments`, or several. */
function callsIn(value: unknown, at: string): readonly unknown[] {
  const parsed = typeof value === "string" ? parsedJson(value) : undefined;
  const list = Array.isArray(parsed) ? parsed : [parsed];
  return list.map((call) => {
    if (typeof call !== "object" || call === null || !("name" in call)) {
      throw typeError("DATA_INVALID", `${at}: expected JSON of { name, arguments } in "value"`);
    }
    return { type: "function", function: call };
  });
}

function checked(
  fields: Readonly<Record<string, unknown>>,
  at: string,
  calls: boolean,
  name = "content",
): ChatMessage {
  const { role, content } = fields;
  for (const [field, value] of [["role", role], [name, content]]) {
    if (typeof value !== "string") {
      const found = value === undefined ? "is missing" : `must be a string but is ${kindOf(value)}`;
      throw typeError("DATA_INVALID", `${at}: "${field}" ${found}`);
    }
  }
  const message = { ...fields, role: role as string, content: content as string };
  if (message.role === "") throw rangeError("DATA_INVALID", `${at}: "role" is empty`);
  // Data sets use an empty system message for "none", and tools may answer nothing; any other empty message is an error in
  // the data.
  if (message.content.trim() === "" && !calls && !["system", "tool"].includes(message.role)) {
    throw rangeError("DATA_INVALID", `${at}: "${name}" is empty`);
  }
  return message;
}

function learnedOf(weight: unknown, train: unknown, at: string): boolean | undefined {
  if (typeof train === "boolean") return train;
  if (train !== undefined && train !== null) {
    throw typeError("DATA_INVALID", `${at}: "train" must be true or false but is ${kindOf(train)}`);
  }
  if (weight === undefined || weight === null) return undefined;
  if (weight !== 0 && weight !== 1) {
    throw rangeError("DATA_INVALID", `${at}: "weight" must be 0 or 1 but is ${JSON.stringify(weight)}`);
  }
  return weight === 1;
}

/** A list, which tables without nesting have as its JSON. */
function listOf(record: JsonlRecord, name: string): unknown {
  const found = Object.hasOwn(record.value, name) ? record.value[name] : undefined;
  return typeof found === "string" && /^\s*\[/.test(found) ? parsedJson(found) ?? found : found;
}

/** The descriptions of tools in a record. @throws {TypeError} when they are no list. */
export function toolsOf(record: JsonlRecord): readonly unknown[] | undefined {
  const found = listOf(record, "tools");
  if (found === undefined || found === null || found === "") return undefined;
  if (!Array.isArray(found)) {
    throw typeError(
      "DATA_INVALID",
      `${showLocation(record)}: field "tools" must be an array but is ${kindOf(found)}`,
    );
  }
  return found.length === 0 ? undefined : found;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
