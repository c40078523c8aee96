/**
 * The shapes of records that graft trains on, told by their fields. When several fit, the first of the list is meant: data
 * sets of messages often repeat the first one as `prompt`, and labelled texts have a `text` as raw ones do.
 *
 * | shape | fields | what it is |
 * |---|---|---|
 * | `tags` | `tokens`, `tags` | a class for each word |
 * | `preference` | `chosen`, `rejected`, perhaps `prompt` | two answers, of which the first is better |
 * | `messages` | `messages`, perhaps `tools` | a conversation of `role` and `content` |
 * | `sharegpt` | `conversations`, perhaps `system`, `tools` | a conversation of `from` and `value` |
 * | `dialogue/summary` | `dialogue`, `summary` | a dialogue to be summarised |
 * | `alpaca` | `instruction`, `output`, perhaps `input`, `system` | a task and its answer |
 * | `triplet` | `anchor`, `positive`, `negative` | a text, one that is near and one that is not |
 * | `pair` | `anchor`, `positive` | two texts that belong together |
 * | `scored pair` | `sentence1`, `sentence2`, `score` | how near two texts are |
 * | `prompt/completion` | `prompt`, `completion` | a text and how it goes on |
 * | `label` | `text`, `label`, perhaps `pair` | a text, or two, and their class |
 * | `labels` | `text`, `labels`, perhaps `pair` | a text, or two, and any number of classes |
 * | `score` | `text`, `score`, perhaps `pair` | a text, or two, and a number |
 * | `text` | `text` | a text, every token of which is learned |
 */
import { type JsonlRecord, showLocation } from "./jsonl.ts";
import { typeError } from "../errors/error.ts";

/** The fields that each shape needs. */
export const SHAPE_FIELDS = {
  "tags": ["tokens", "tags"],
  "preference": ["chosen", "rejected"],
  "messages": ["messages"],
  "sharegpt": ["conversations"],
  "dialogue/summary": ["dialogue", "summary"],
  "alpaca": ["instruction", "output"],
  "triplet": ["anchor", "positive", "negative"],
  "pair": ["anchor", "positive"],
  "scored pair": ["sentence1", "sentence2", "score"],
  "prompt/completion": ["prompt", "completion"],
  "label": ["text", "label"],
  "score": ["text", "score"],
  "labels": ["text", "labels"],
  "text": ["text"],
} as const;

/** The name of a shape. */
export type RecordShape = keyof typeof SHAPE_FIELDS;

/** Their names in the order in which they are tried. */
export const RECORD_SHAPES: readonly RecordShape[] = Object.keys(SHAPE_FIELDS) as RecordShape[];

/**
 * The shape of a record by its fields.
 *
 * @param first Shapes that are meant before all others where they fit.
 * @throws {TypeError} when none fits; the message lists the shapes.
 * @example
 * ```ts
 * import { shapeOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const at = { file: "data.jsonl", line: 1 };
 * assert.equal(shapeOf({ ...at, value: { id: 7, prompt: "1 + 1 =", completion: " 2" } }), "prompt/completion");
 * assert.equal(shapeOf({ ...at, value: { text: "Good.", label: 1 } }), "label");
 * assert.throws(() => shapeOf({ ...at, value: { question: "Why?" } }), /data\.jsonl line 1: expected the fields/);
 * ```
 */
export function shapeOf(record: JsonlRecord, first: readonly RecordShape[] = []): RecordShape {
  const whole = wholeShape(record, first) ?? wholeShape(record);
  if (whole !== undefined) return whole;
  // If one of two fields is present, a later error is about the missing one, not about the shape.
  const started = RECORD_SHAPES.find((shape) => SHAPE_FIELDS[shape].some((name) => has(record, name)));
  if (started !== undefined) return started;
  const found = Object.keys(record.value).map(quoted).join(", ") || "no fields";
  const known = RECORD_SHAPES.map((shape) => SHAPE_FIELDS[shape].map(quoted).join(" and ")).join(", or ");
  throw typeError(
    "DATA_INVALID",
    `${showLocation(record)}: expected the fields ${known}, but found ${found}; rename them with fields`,
  );
}

/** The first shape all of whose fields a record has. */
export function wholeShape(
  record: JsonlRecord,
  among: readonly RecordShape[] = RECORD_SHAPES,
): RecordShape | undefined {
  return among.find((shape) => SHAPE_FIELDS[shape].every((name) => has(record, name)));
}

/**
 * Checks that a record has the shape of those before it.
 *
 * @throws {TypeError} when it has another one; a later error names a field that it lacks.
 */
export function checkShape(record: JsonlRecord, shape: RecordShape): void {
  if (SHAPE_FIELDS[shape].every((name) => has(record, name))) return;
  const other = wholeShape(record);
  if (other === undefined) return;
  throw typeError(
    "DATA_INVALID",
    `${showLocation(record)}: expected a ${shape} record as before but found ${other}; use one shape a file`,
  );
}

/** Names of fields by the names that the shapes have for them. */
export type FieldNames = Readonly<Record<string, string>>;

/**
 * A record whose fields are renamed: under each name of `fields` stands the value of the field that it names. Several columns
 * of labels are named with "+" between them, `{ labels: "toxic+insult" }`.
 *
 * @throws {TypeError} when a named field is missing.
 * @example
 * ```ts
 * import { renamedRecord } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const record = { file: "data.jsonl", line: 1, value: { question: "1 + 1?", id: 3 } };
 * assert.deepEqual(renamedRecord(record, { prompt: "question" }).value, { id: 3, prompt: "1 + 1?" });
 * ```
 */
export function renamedRecord(record: JsonlRecord, fields: FieldNames): JsonlRecord {
  const sources = new Map(
    Object.entries(fields).map(([name, source]) => [name, columnsOf(record, name, source)]),
  );
  const taken = new Set([...sources.values()].flat());
  const kept = Object.entries(record.value).filter(([name]) =>
    !taken.has(name) && !Object.hasOwn(fields, name)
  );
  const renamed = [...sources].map(([name, columns]) => {
    for (const source of columns) {
      if (has(record, source)) continue;
      throw typeError(
        "DATA_INVALID",
        `${showLocation(record)}: field "${source}", which is to be ${
          quoted(name)
        }, is missing; the record has ${Object.keys(record.value).map(quoted).join(", ") || "no fields"}`,
      );
    }
    return [
      name,
      columns.length === 1
        ? record.value[columns[0]!]
        : Object.fromEntries(columns.map((source) => [source, record.value[source]])),
    ] as const;
  });
  return { ...record, value: Object.fromEntries([...kept, ...renamed]) };
}

/** The fields that a name stands for: one, or those of several columns of labels. */
function columnsOf(record: JsonlRecord, name: string, source: string): readonly string[] {
  return name === "labels" && !has(record, source) ? source.split("+") : [source];
}

const has = (record: JsonlRecord, name: string): boolean =>
  Object.hasOwn(record.value, name) && record.value[name] !== null;

const quoted = (name: string): string => `"${name}"`;
