/**
 * Preferences: a prompt, the better answer and the worse one. `chosen` and `rejected` are texts or messages. Where there is no
 * `prompt`, or where they repeat it, what both begin with is the prompt, as in TRL.
 */
import type { Example } from "./examples.ts";
import { type JsonlFile, type JsonlRecord, locationOf, showLocation, textField } from "./jsonl.ts";
import { type ChatMessage, messagesIn, toolsOf } from "./messages.ts";
import { checkShape, type FieldNames, renamedRecord } from "./record_shapes.ts";
import { openRecords } from "./records/open.ts";
import { rangeError } from "../errors/error.ts";

/** Two answers to one prompt. */
export interface Preference {
  /** The prompt with the better answer. */
  readonly chosen: Example;
  /** The prompt with the other one. */
  readonly rejected: Example;
  /** By how much the better one is better, for reward models. */
  readonly margin?: number;
}

/**
 * The preference of one record.
 *
 * @throws {TypeError} when a field is missing or has the wrong type.
 * @throws {RangeError} when there is no prompt, or both answers are the same.
 * @example
 * ```ts
 * import { preferenceOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const value = { prompt: "1 + 1 =", chosen: " 2", rejected: " 3" };
 * const { chosen, rejected } = preferenceOf({ file: "data.jsonl", line: 1, value });
 * assert.deepEqual([chosen.prompt, chosen.answer, rejected.answer], ["1 + 1 =", " 2", " 3"]);
 * ```
 */
export function preferenceOf(record: JsonlRecord): Preference {
  checkShape(record, "preference");
  const where = showLocation(record);
  const margin = marginOf(record);
  const pair = isText(record, "chosen") ? textPair(record) : messagePair(record);
  if (JSON.stringify(pair.chosen) === JSON.stringify(pair.rejected)) {
    throw rangeError("DATA_INVALID", `${where}: "chosen" and "rejected" are the same`);
  }
  return { ...pair, ...margin !== undefined && { margin } };
}

/** Open preferences. Close them with `using` or `[Symbol.dispose]()`. */
export interface PreferenceFile extends Disposable {
  /** How many there are. */
  readonly count: number;
  /** Preference n, from 0. */
  preference(n: number): Preference;
}

/**
 * Opens a file or folder of preferences; every record is checked now.
 *
 * @throws as `readRecords` and `preferenceOf`.
 * @example
 * ```ts
 * import { openPreferences } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"prompt": "1 + 1 =", "chosen": " 2", "rejected": " 3"}\n');
 * using preferences = await openPreferences(file);
 * assert.equal(preferences.preference(0).rejected.answer, " 3");
 * await Deno.remove(file);
 * ```
 */
export async function openPreferences(
  path: string,
  { fields }: { readonly fields?: FieldNames } = {},
): Promise<PreferenceFile> {
  const of = (record: JsonlRecord): Preference =>
    preferenceOf(fields === undefined ? record : renamedRecord(record, fields));
  const file: JsonlFile = await openRecords(path, (record) => void of(record));
  return {
    count: file.count,
    preference: (n) => of(file.record(n)),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

const isText = (record: JsonlRecord, name: string): boolean => {
  const value = record.value[name];
  return typeof value === "string" && !/^\s*\[\s*\{/.test(value);
};

const hasPrompt = ({ value }: JsonlRecord): boolean => {
  const prompt = Object.hasOwn(value, "prompt") ? value["prompt"] : undefined;
  return prompt !== undefined && prompt !== null && prompt !== "";
};

function textPair(record: JsonlRecord): Pick<Preference, "chosen" | "rejected"> {
  const at = locationOf(record);
  const [chosen, rejected] = [textField(record, "chosen"), textField(record, "rejected")];
  if (hasPrompt(record)) {
    const prompt = isText(record, "prompt") ? textField(record, "prompt") : messagesIn(record, "prompt");
    const answer = (text: string): Example => ({
      prompt,
      answer: typeof prompt === "string" && text.startsWith(prompt) ? text.slice(prompt.length) : text,
      at,
    });
    return { chosen: answer(chosen), rejected: answer(rejected) };
  }
  let shared = 0;
  while (shared < chosen.length && chosen[shared] === rejected[shared]) shared++;
  // A space belongs to the word after it.
  if (chosen[shared - 1] === " ") shared--;
  if (shared === 0) throw withoutPrompt(record);
  const prompt = chosen.slice(0, shared);
  return {
    chosen: { prompt, answer: chosen.slice(shared), at },
    rejected: { prompt, answer: rejected.slice(shared), at },
  };
}

function messagePair(record: JsonlRecord): Pick<Preference, "chosen" | "rejected"> {
  const at = locationOf(record);
  const [chosen, rejected] = [messagesIn(record, "chosen"), messagesIn(record, "rejected")];
  const given: readonly ChatMessage[] = !hasPrompt(record)
    ? []
    : isText(record, "prompt")
    ? [{ role: "user", content: textField(record, "prompt") }]
    : messagesIn(record, "prompt");
  // Where both repeat the prompt it is not put before them again.
  const own = (messages: readonly ChatMessage[]): boolean => messages[0]!.role !== "assistant";
  const before = own(chosen) && own(rejected) ? [] : given;
  const [better, worse] = [[...before, ...chosen], [...before, ...rejected]];
  let shared = 0;
  while (shared < better.length && JSON.stringify(better[shared]) === JSON.stringify(worse[shared])) shared++;
  const prompt = Math.max(shared, before.length);
  if (prompt === 0) throw withoutPrompt(record);
  const tools = toolsOf(record);
  const example = (messages: readonly ChatMessage[], name: string): Example => {
    const learned = messages.flatMap(({ role }, i) => role === "assistant" && i >= prompt ? [i] : []);
    if (learned.length === 0) {
      throw rangeError(
        "DATA_INVALID",
        `${showLocation(record)}: field "${name}" has no assistant message that is its own`,
      );
    }
    const end = learned.at(-1)!;
    return {
      prompt: messages.slice(0, end),
      answer: messages[end]!.content,
      conversation: { messages: messages.slice(0, end + 1), learned, ...tools && { tools } },
      at,
    };
  };
  if (prompt === better.length && prompt === worse.length) {
    throw rangeError("DATA_INVALID", `${showLocation(record)}: "chosen" and "rejected" are the same`);
  }
  return { chosen: example(better, "chosen"), rejected: example(worse, "rejected") };
}

function marginOf(record: JsonlRecord): number | undefined {
  const margin = Object.hasOwn(record.value, "margin") ? record.value["margin"] : undefined;
  if (margin === undefined || margin === null) return undefined;
  const number = Number(margin);
  if (margin === "" || !Number.isFinite(number)) {
    throw rangeError(
      "DATA_INVALID",
      `${showLocation(record)}: field "margin" must be a number but is ${JSON.stringify(margin)}`,
    );
  }
  return number;
}

const withoutPrompt = (record: JsonlRecord): RangeError =>
  rangeError(
    "DATA_INVALID",
    `${
      showLocation(record)
    }: a preference without a prompt: there is no field "prompt", and "chosen" and "rejected" begin with nothing in common`,
  );
