/**
 * Labelled examples from JSONL: labels for a text as a whole, or for each of its words.
 *
 * | fields | label |
 * |---|---|
 * | `text` (and `pair`), `label` | a class: its name, or its number |
 * | `text` (and `pair`), `labels` | any number of classes: their names in a list, or columns, each with 1 or 0, or with a class of its own |
 * | `text` (and `pair`), `score` | a number |
 * | `tokens`, `tags` | a class for each word |
 *
 * Further fields are ignored. The first record of a file decides the kind; another kind later is an error.
 */
import { type JsonlRecord, kindOf, type Location, locationOf, showLocation, textField } from "./jsonl.ts";
import { type FieldNames, renamedRecord } from "./record_shapes.ts";
import { fileForm } from "./records/files.ts";
import { readRecords } from "./records/read.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** One text, optionally with a second one as a pair. */
export interface Texts {
  /** The text. */
  readonly text: string;
  /** The second text of the pair. */
  readonly pair?: string;
}

/** One labelled example. Classes are identified by name; a number is treated as the string of its digits. */
export type LabelledExample =
  & (
    | ({ readonly kind: "class"; readonly label: string } & Texts)
    | ({ readonly kind: "score"; readonly score: number } & Texts)
    /** What each column says: "1", "0" or the name of a class. A list of classes has a column with "1" for each. */
    | ({ readonly kind: "flags"; readonly columns: Readonly<Record<string, string>> } & Texts)
    | { readonly kind: "tags"; readonly words: readonly string[]; readonly tags: readonly string[] }
  )
  & { readonly at?: Location };

/** The kind of label. */
export type LabelledKind = LabelledExample["kind"];

const FIELDS = {
  tags: ["tokens", "tags"],
  class: ["text", "label"],
  score: ["text", "score"],
  flags: ["text", "labels"],
} as const satisfies Record<LabelledKind, readonly string[]>;

/**
 * The kind of label of a record, or undefined where it is not a labelled example.
 *
 * @example
 * ```ts
 * import { labelledKindOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const at = { file: "data.jsonl", line: 1 };
 * assert.equal(labelledKindOf({ ...at, value: { text: "Good.", score: 4.5 } }), "score");
 * assert.equal(labelledKindOf({ ...at, value: { text: "Good." } }), undefined);
 * ```
 */
export function labelledKindOf(record: JsonlRecord): LabelledKind | undefined {
  return (["tags", "class", "score", "flags"] as const)
    .find((kind) => FIELDS[kind].every((name) => Object.hasOwn(record.value, name)));
}

/**
 * The example of one record.
 *
 * @throws {TypeError} when a field is missing or has the wrong type.
 * @throws {RangeError} when a text is empty, a score is not a finite number, or there are not as many tags as
 * tokens.
 * @example
 * ```ts
 * import { labelledExampleOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const record = { file: "data.jsonl", line: 1, value: { text: "Very good.", label: 1 } };
 * const example = labelledExampleOf(record, "class");
 * assert.equal(example.kind === "class" && example.label, "1");
 * ```
 */
export function labelledExampleOf(record: JsonlRecord, kind: LabelledKind): LabelledExample {
  const found = labelledKindOf(record);
  if (
    found !== undefined && found !== kind && FIELDS[kind].some((name) => !Object.hasOwn(record.value, name))
  ) {
    throw typeError(
      "DATA_INVALID",
      `${showLocation(record)}: expected the fields ${FIELDS[kind].join(" and ")} as before but found ${
        FIELDS[found].join(" and ")
      }; use one kind a file`,
    );
  }
  const at = locationOf(record);
  switch (kind) {
    case "class":
      return { kind, ...texts(record), label: className(record, "label", field(record, "label")), at };
    case "score": {
      const stored = field(record, "score");
      const form = fileForm(record.file);
      const isCell = (form === "csv" || form === "tsv") && typeof stored === "string" && stored.trim() !== "";
      const score = isCell && Number.isFinite(Number(stored)) ? Number(stored) : stored; // cells of tables are text
      if (typeof score !== "number") throw wrong(record, "score", "a number", score);
      // JSON has no infinities, but it has numbers that overflow.
      if (!Number.isFinite(score)) {
        throw rangeError("DATA_INVALID", `${showLocation(record)}: field "score" is no finite number`);
      }
      return { kind, ...texts(record), score, at };
    }
    case "flags":
      return { kind, ...texts(record), columns: columnsOf(record), at };
    case "tags": {
      const words = list(record, "tokens").map((word, i) => {
        if (typeof word !== "string") throw wrong(record, `tokens, ${i}`, "a string", word);
        return word;
      });
      const tags = list(record, "tags").map((tag, i) => className(record, `tags, ${i}`, tag));
      if (words.length === 0) {
        throw rangeError("DATA_INVALID", `${showLocation(record)}: field "tokens" is empty`);
      }
      if (words.length !== tags.length) {
        throw rangeError(
          "DATA_INVALID",
          `${
            showLocation(record)
          }: expected as many tags as tokens but found ${tags.length} and ${words.length}`,
        );
      }
      return { kind, words, tags, at };
    }
    default:
      return kind satisfies never;
  }
}

/** How records become labelled examples. */
export interface LabelledOptions {
  /** The kind of label. Default: told by the first record's fields. */
  readonly kind?: LabelledKind;
  /** Fields under other names: `{ text: "review", label: "stars" }`. */
  readonly fields?: FieldNames;
}

/**
 * The labelled examples of a file or folder in order, read in chunks.
 *
 * @throws as `readRecords` and `labelledExampleOf`, and {TypeError} when the first record is not a labelled
 * example.
 * @example
 * ```ts
 * import { readLabelledExamples } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"tokens": ["Ann", "sleeps"], "tags": ["PERSON", "O"]}\n');
 * const [example] = await Array.fromAsync(readLabelledExamples(file));
 * assert.deepEqual(example?.kind === "tags" && example.tags, ["PERSON", "O"]);
 * await Deno.remove(file);
 * ```
 */
export async function* readLabelledExamples(
  file: string,
  options: LabelledOptions = {},
): AsyncGenerator<LabelledExample> {
  const labelled = labelledBy(options);
  for await (const record of readRecords(file)) yield labelled(record);
}

/** What makes examples of records, all of the first one's kind. @throws as `readLabelledExamples`. */
export function labelledBy(
  { kind: given, fields }: LabelledOptions,
): (found: JsonlRecord) => LabelledExample {
  let kind = given;
  return (found) => {
    const record = fields === undefined ? found : renamedRecord(found, fields);
    kind ??= labelledKindOf(record);
    if (kind === undefined) {
      const names = Object.keys(record.value).map((name) => `"${name}"`).join(", ") || "no fields";
      throw typeError(
        "DATA_INVALID",
        `${
          showLocation(record)
        }: expected "text" and "label", "text" and "score", "text" and "labels", or "tokens" and "tags" but found ${names}`,
      );
    }
    return labelledExampleOf(record, kind);
  };
}

function texts(record: JsonlRecord): Texts {
  return {
    text: textField(record, "text"),
    ...Object.hasOwn(record.value, "pair") && { pair: textField(record, "pair") },
  };
}

function field(record: JsonlRecord, name: string): unknown {
  if (!Object.hasOwn(record.value, name)) {
    throw typeError("DATA_INVALID", `${showLocation(record)}: field "${name}" is missing`);
  }
  return record.value[name];
}

/** What columns say, or those of a list of classes. Cells of tables are text, in which a list is JSON. */
function columnsOf(record: JsonlRecord): Readonly<Record<string, string>> {
  const stored = field(record, "labels");
  const found = typeof stored === "string" && /^\s*[[{]/.test(stored) ? parsed(stored) : stored;
  if (Array.isArray(found)) {
    return Object.fromEntries(found.map((name, i) => [className(record, `labels, ${i}`, name), "1"]));
  }
  if (typeof found !== "object" || found === null || Object.keys(found).length === 0) {
    throw wrong(
      record,
      "labels",
      'a list of classes, or columns with 1 and 0; for one class, rename it "label"',
      found,
    );
  }
  return Object.fromEntries(
    Object.entries(found).map((
      [name, value],
    ) => [name, className(record, `labels, ${name}`, truth(value) ?? value)]),
  );
}

/** 1 or 0 of what says true or false; undefined for anything else. */
function truth(value: unknown): number | undefined {
  const said = String(value).trim().toLowerCase();
  return ["true", "1", "1.0"].includes(said) ? 1 : ["false", "0", "0.0"].includes(said) ? 0 : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function list(record: JsonlRecord, name: string): readonly unknown[] {
  const found = field(record, name);
  if (!Array.isArray(found)) throw wrong(record, name, "an array", found);
  return found;
}

function className(record: JsonlRecord, name: string, value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return String(value);
  throw wrong(record, name, "the name of a class or its number from 0", value);
}

function wrong(record: JsonlRecord, name: string, wanted: string, found: unknown): TypeError {
  const shown = typeof found === "number" || found === "" ? JSON.stringify(found) : kindOf(found);
  return typeError(
    "DATA_INVALID",
    `${showLocation(record)}: field "${name}": expected ${wanted} but found ${shown}`,
  );
}
