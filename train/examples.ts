/**
 * Training examples: a prompt and the answer that the model should learn. Three shapes of records are
 * supported:
 *
 * | fields | prompt | answer |
 * |---|---|---|
 * | `dialogue`, `summary` | a user message: the instruction, a blank line, the dialogue | the summary |
 * | `prompt`, `completion` | the text, as it is | the completion |
 * | `messages` | the messages before | an assistant message: the last one, or each in turn |
 *
 * Further fields are ignored. The first record of a file decides the shape; another shape later is an error.
 */
import { type JsonlRecord, kindOf, type Location, locationOf, showLocation, textField } from "./jsonl.ts";
import { readRecords } from "./records/read.ts";

/** One message of a conversation. The chat template determines which roles exist. */
export interface ChatMessage {
  /** "system", "user", "assistant". */
  readonly role: string;
  /** The text of the message. */
  readonly content: string;
}

/** The source of one training row. */
export interface Example {
  /** Messages are formatted by the model's chat template; a text is tokenized as it is. */
  readonly prompt: readonly ChatMessage[] | string;
  /** The text to be learned. */
  readonly answer: string;
  /** The part of the prompt that may be shortened when the row is too long. Default: all of it. */
  readonly body?: string;
  /** Its location in the file, for error messages. */
  readonly at?: Location;
}

/**
 * What an answer is about, as text: the part of the prompt that may be shortened, such as a dialogue, or else
 * all of the prompt.
 *
 * @example
 * ```ts
 * import { contextOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(contextOf({ prompt: "Sum up: A: Hi.", body: "A: Hi.", answer: "A greets." }), "A: Hi.");
 * assert.equal(contextOf({ prompt: [{ role: "user", content: "1 + 1?" }], answer: "2" }), "1 + 1?");
 * ```
 */
export function contextOf({ prompt, body }: Example): string {
  return body ?? (typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("\n"));
}

/** The shapes of record, by their fields. */
export type RecordShape = "dialogue/summary" | "prompt/completion" | "messages";

/** How records become examples. */
export interface ExampleOptions {
  /** The user's instruction before a dialogue; "" for none. Default: "Summarize the conversation." */
  readonly instruction?: string;
  /** Which assistant messages are answers: "each" makes one example of every one of them. Default: "last". */
  readonly answers?: "last" | "each";
}

/** The default of `ExampleOptions.instruction`. */
export const INSTRUCTION = "Summarize the conversation.";

const FIELDS = {
  "messages": ["messages"],
  "dialogue/summary": ["dialogue", "summary"],
  "prompt/completion": ["prompt", "completion"],
} as const satisfies Record<RecordShape, readonly string[]>;

const SHAPES = [
  "messages",
  "dialogue/summary",
  "prompt/completion",
] as const satisfies readonly RecordShape[];

/**
 * The shape of a record. When several fit (data sets of messages often repeat the first one as `prompt`), messages come
 * before dialogues and those before prompts.
 *
 * @throws {TypeError} when none fits; the message lists the shapes.
 * @example
 * ```ts
 * import { shapeOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const at = { file: "data.jsonl", line: 1 };
 * assert.equal(shapeOf({ ...at, value: { id: 7, prompt: "1 + 1 =", completion: " 2" } }), "prompt/completion");
 * assert.throws(() => shapeOf({ ...at, value: { text: "hello" } }), /data\.jsonl line 1: expected the fields/);
 * ```
 */
export function shapeOf(record: JsonlRecord): RecordShape {
  const whole = wholeShape(record);
  if (whole !== undefined) return whole;
  // If one of two fields is present, a later error is about the missing one, not about the shape.
  const started = SHAPES.find((shape) => FIELDS[shape].some((name) => Object.hasOwn(record.value, name)));
  if (started !== undefined) return started;
  const found = Object.keys(record.value).map((name) => `"${name}"`).join(", ") || "no fields";
  throw new TypeError(
    `${
      showLocation(record)
    }: expected the fields "dialogue" and "summary", "prompt" and "completion", or "messages" but found ${found}`,
  );
}

/**
 * The examples of one record: one, except for messages with `answers: "each"`.
 *
 * @throws {TypeError} when a field is missing or has the wrong type, or the record has another shape than `shape`.
 * @throws {RangeError} when a text is empty or no assistant message has a message before it.
 * @example
 * ```ts
 * import { examplesOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const record = { file: "data.jsonl", line: 1, value: { prompt: "2 + 2 =", completion: " 4" } };
 * const [example] = examplesOf(record, "prompt/completion");
 * assert.equal(example?.answer, " 4");
 * ```
 */
export function examplesOf(
  record: JsonlRecord,
  shape: RecordShape,
  options: ExampleOptions = {},
): readonly Example[] {
  if (FIELDS[shape].some((name) => !Object.hasOwn(record.value, name))) {
    const other = wholeShape(record);
    if (other !== undefined) {
      throw new TypeError(
        `${
          showLocation(record)
        }: expected a ${shape} record as before but found ${other}; use one shape a file`,
      );
    }
  }
  const at = locationOf(record);
  switch (shape) {
    case "dialogue/summary": {
      const dialogue = textField(record, "dialogue");
      const instruction = options.instruction ?? INSTRUCTION;
      const content = instruction === "" ? dialogue : `${instruction}\n\n${dialogue}`;
      const prompt = [{ role: "user", content }];
      return [{ prompt, answer: textField(record, "summary"), body: dialogue, at }];
    }
    case "prompt/completion":
      return [{ prompt: textField(record, "prompt"), answer: textField(record, "completion"), at }];
    case "messages":
      return answersIn(messagesField(record), record, options);
    default:
      return shape satisfies never;
  }
}

/**
 * The examples of a file or folder in order, read incrementally.
 *
 * @throws as `readRecords` and `examplesOf`.
 * @example
 * ```ts
 * import { readExamples } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"dialogue": "ann: hello\\nbob: hi", "summary": "Two people greet."}\n');
 * for await (const { prompt, answer } of readExamples(file)) {
 *   assert.deepEqual(prompt, [{ role: "user", content: "Summarize the conversation.\n\nann: hello\nbob: hi" }]);
 *   assert.equal(answer, "Two people greet.");
 * }
 * await Deno.remove(file);
 * ```
 */
export async function* readExamples(file: string, options: ExampleOptions = {}): AsyncGenerator<Example> {
  let shape: RecordShape | undefined;
  for await (const record of readRecords(file)) {
    shape ??= shapeOf(record);
    yield* examplesOf(record, shape, options);
  }
}

function wholeShape(record: JsonlRecord): RecordShape | undefined {
  return SHAPES.find((shape) => FIELDS[shape].every((name) => Object.hasOwn(record.value, name)));
}

function messagesField(record: JsonlRecord): readonly ChatMessage[] {
  const where = `${showLocation(record)}: field "messages"`;
  const list = Object.hasOwn(record.value, "messages") ? record.value["messages"] : undefined;
  if (list === undefined) throw new TypeError(`${where} is missing`);
  if (!Array.isArray(list)) throw new TypeError(`${where} must be an array but is ${kindOf(list)}`);
  if (list.length === 0) throw new RangeError(`${where} is empty`);
  return list.map((item: unknown, i) => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) {
      throw new TypeError(`${where}, message ${i}: expected { role, content } but found ${kindOf(item)}`);
    }
    const { role, content } = item as Record<string, unknown>;
    for (const [name, value] of [["role", role], ["content", content]]) {
      if (typeof value !== "string") {
        const found = value === undefined ? "is missing" : `must be a string but is ${kindOf(value)}`;
        throw new TypeError(`${where}, message ${i}: "${name}" ${found}`);
      }
    }
    const message: ChatMessage = { role: role as string, content: content as string };
    if (message.role === "") throw new RangeError(`${where}, message ${i}: "role" is empty`);
    // Data sets use an empty system message for "none"; an empty message of any other role is an error in the
    // data.
    if (message.content.trim() === "" && message.role !== "system") {
      throw new RangeError(`${where}, message ${i}: "content" is empty`);
    }
    return message;
  });
}

function answersIn(
  messages: readonly ChatMessage[],
  at: Location,
  { answers = "last" }: ExampleOptions,
): readonly Example[] {
  // A first message by the assistant answers nothing, so it is only part of prompts.
  const examples = messages.flatMap(({ role, content }, i): Example[] =>
    role === "assistant" && i > 0
      ? [{ prompt: messages.slice(0, i), answer: content, at: locationOf(at) }]
      : []
  );
  if (examples.length === 0) {
    throw new RangeError(
      `${showLocation(at)}: field "messages" has no assistant message after another message`,
    );
  }
  return answers === "last" ? examples.slice(-1) : examples;
}
