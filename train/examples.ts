/**
 * Training examples: a prompt and the answer that the model should learn.
 *
 * | shape of the record | prompt | answer |
 * |---|---|---|
 * | `dialogue/summary` | a user message: the instruction, a blank line, the dialogue | the summary |
 * | `alpaca` | the system message, a user message: the instruction, a blank line, the input | the output |
 * | `prompt/completion` | the text, as it is | the completion |
 * | `messages`, `sharegpt` | the messages before | the assistant's messages: each in its place, or the last one |
 * | `text` | nothing | the whole text |
 *
 * Further fields are ignored. The first record of a file decides the shape; another shape later is an error.
 */
import { type JsonlRecord, type Location, locationOf, showLocation, textField } from "./jsonl.ts";
import { type ChatMessage, type Conversation, conversationOf } from "./messages.ts";
import { checkShape, type FieldNames, type RecordShape, renamedRecord, shapeOf } from "./record_shapes.ts";
import { readRecords } from "./records/read.ts";
import { typeError } from "../errors/error.ts";

/** The source of one training row. */
export interface Example {
  /** Messages are formatted by the model's chat template; a text is tokenized as it is. */
  readonly prompt: readonly ChatMessage[] | string;
  /** The text to be learned; of a conversation, that of the last message that is learned. */
  readonly answer: string;
  /** The part of the prompt that may be shortened when the row is too long. Default: all of it. */
  readonly body?: string;
  /** A conversation, whose messages are learned where they stand: `prompt` and `answer` are its end. */
  readonly conversation?: Conversation;
  /** The answer is a text of its own, which may be shortened; the prompt is empty. */
  readonly text?: true;
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

/** How records become examples. */
export interface ExampleOptions {
  /** The user's instruction before a dialogue; "" for none. Default: "Summarize the conversation." */
  readonly instruction?: string;
  /**
   * Which of the assistant's messages are learned, all in one row, where the record does not say it itself by `weight` (0 or
   * 1) or `train` (true or false) of a message. Default: "each".
   */
  readonly answers?: "last" | "each";
  /** The shape of the records. Default: told by the first record's fields. */
  readonly format?: RecordShape;
  /** Fields under other names: `{ prompt: "question" }`. */
  readonly fields?: FieldNames;
}

/** The default of `ExampleOptions.instruction`. */
export const INSTRUCTION = "Summarize the conversation.";

/** The shapes of records that become examples, in the order in which they are tried. */
export const EXAMPLE_SHAPES: readonly RecordShape[] = [
  "messages",
  "sharegpt",
  "dialogue/summary",
  "alpaca",
  "prompt/completion",
  "text",
];

/**
 * The example of one record, in a list; a record whose conversation has several answers is one example, too.
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
  checkShape(record, shape);
  const at = locationOf(record);
  switch (shape) {
    case "dialogue/summary": {
      const dialogue = textField(record, "dialogue");
      const instruction = options.instruction ?? INSTRUCTION;
      const content = instruction === "" ? dialogue : `${instruction}\n\n${dialogue}`;
      const prompt = [{ role: "user", content }];
      return [{ prompt, answer: textField(record, "summary"), body: dialogue, at }];
    }
    case "alpaca": {
      const parts = [textField(record, "instruction"), optional(record, "input")];
      const system = optional(record, "system");
      const prompt = [
        ...system === "" ? [] : [{ role: "system", content: system }],
        { role: "user", content: parts.filter((part) => part !== "").join("\n\n") },
      ];
      return [{ prompt, answer: textField(record, "output"), at }];
    }
    case "prompt/completion":
      return [{ prompt: textField(record, "prompt"), answer: textField(record, "completion"), at }];
    case "text":
      return [{ prompt: "", answer: textField(record, "text"), text: true, at }];
    case "messages":
    case "sharegpt": {
      const conversation = conversationOf(record, shape, options.answers ?? "each");
      const { messages } = conversation;
      const answer = messages.at(-1)!.content;
      return [{ prompt: messages.slice(0, -1), answer, conversation, at }];
    }
    default:
      throw typeError(
        "DATA_INVALID",
        `${showLocation(at)}: a ${shape} record has no prompt with an answer; it is for another objective`,
      );
  }
}

/** A text that may be missing or empty. */
function optional(record: JsonlRecord, name: string): string {
  const found = Object.hasOwn(record.value, name) ? record.value[name] : undefined;
  return found === undefined || found === null || found === "" ? "" : textField(record, name);
}

/**
 * The records under the names of shapes, each with the shape of them all.
 *
 * @param first Shapes that are meant before others; by default those of examples.
 * @throws {TypeError} as `shapeOf` and `renamedRecord`.
 */
export function shapedBy(
  { format, fields }: Pick<ExampleOptions, "format" | "fields">,
  first: readonly RecordShape[] = EXAMPLE_SHAPES,
): (record: JsonlRecord) => { readonly record: JsonlRecord; readonly shape: RecordShape } {
  let shape = format;
  return (given) => {
    const record = fields === undefined ? given : renamedRecord(given, fields);
    shape ??= shapeOf(record, first);
    return { record, shape };
  };
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
  const shaped = shapedBy(options);
  for await (const found of readRecords(file)) {
    const { record, shape } = shaped(found);
    yield* examplesOf(record, shape, options);
  }
}
