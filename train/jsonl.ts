/**
 * JSON Lines files: one object per line, UTF-8, read without holding the file in memory. A byte order mark at
 * the start, CRLF line ends and blank lines are accepted; anything else invalid is an error that names the
 * file and the line.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { stat } from "node:fs/promises";
import { checkRegularFile } from "./regular_file.ts";
import { storedBytes } from "./records/bytes.ts";
import { linesOf } from "./records/lines.ts";
import { readAt } from "../platform/files.ts";
import { rangeError, syntaxError, typeError } from "../errors/error.ts";

/** The location of a record. Lines count from 1, including blank ones, as in editors. */
export interface Location {
  /** The file, as given. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** "row" where records are counted rather than lines: in JSON arrays, tables and Parquet. Default: "line". */
  readonly unit?: "row";
}

/** The location alone of what has one. */
export function locationOf({ file, line, unit }: Location): Location {
  return { file, line, ...unit !== undefined && { unit } };
}

/** One object of a file. */
export interface JsonlRecord extends Location {
  /** The object on the line. */
  readonly value: Readonly<Record<string, unknown>>;
}

/**
 * A location as error messages show it.
 *
 * @example
 * ```ts
 * import { showLocation } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(showLocation({ file: "data.jsonl", line: 3 }), "data.jsonl line 3");
 * ```
 */
export function showLocation({ file, line, unit }: Location): string {
  return `${file} ${unit ?? "line"} ${line}`;
}

/**
 * The records of a file in order, read incrementally.
 *
 * @throws {SyntaxError} when a line is not JSON or not UTF-8.
 * @throws {TypeError} when a line holds anything other than an object, or the file is a folder.
 * @throws {RangeError} when the file has no record.
 * @example
 * ```ts
 * import { readJsonl } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"id": 1}\n\n{"id": 2}\n');
 * const found = await Array.fromAsync(readJsonl(file), ({ line, value }) => [line, value["id"]]);
 * assert.deepEqual(found, [[1, 1], [3, 2]]);
 * await Deno.remove(file);
 * ```
 */
export async function* readJsonl(file: string): AsyncGenerator<JsonlRecord> {
  let found = false;
  for await (const { line, bytes } of linesOf(storedBytes(file))) {
    found = true;
    yield parseRecord({ file, line }, bytes);
  }
  if (!found) throw noRecords(file);
}

/** The start of each record in a file, which allows reading any of them without the others. */
export interface JsonlIndex {
  /** The file, as given. */
  readonly file: string;
  /** Records in the file. */
  readonly count: number;
  /**
   * Byte offsets, [count + 1]: record n is in offsets[n] … offsets[n + 1]; the last entry is the file's size.
   */
  readonly offsets: Float64Array;
  /** Line numbers, [count]. */
  readonly lines: Float64Array;
}

/**
 * Builds the index in one pass that also checks every record; `visit` is called once with each one and awaited, for
 * instance to check its fields or to record its length. Takes 16 bytes per record.
 *
 * @param visit null finds the records without reading any.
 *
 * @throws as `readJsonl`, and whatever `visit` throws.
 * @throws {TypeError} when the file is a pipe or a device, which can be read only once.
 * @example
 * ```ts
 * import { indexJsonl } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"id": 1}\n{"id": 22}\n');
 * const { count, offsets } = await indexJsonl(file);
 * assert.equal(count, 2);
 * assert.deepEqual([...offsets], [0, 10, 21]);
 * await Deno.remove(file);
 * ```
 */
export async function indexJsonl(
  file: string,
  visit: ((record: JsonlRecord) => unknown) | null = () => {},
): Promise<JsonlIndex> {
  await checkRegularFile(file);
  const offsets: number[] = [];
  const lines: number[] = [];
  for await (const { line, offset, bytes } of linesOf(storedBytes(file))) {
    if (visit !== null) await visit(parseRecord({ file, line }, bytes));
    offsets.push(offset);
    lines.push(line);
  }
  if (lines.length === 0) throw noRecords(file);
  offsets.push((await stat(file)).size);
  return { file, count: lines.length, offsets: Float64Array.from(offsets), lines: Float64Array.from(lines) };
}

/** An open file whose records can be read in any order. Close it with `using` or `[Symbol.dispose]()`. */
export interface JsonlFile extends Disposable {
  /** How many there are. */
  readonly count: number;
  /** Record n, from 0. Synchronous, so two reads cannot disturb each other's position in the file. */
  record(n: number): JsonlRecord;
}

/**
 * Opens an indexed file.
 *
 * @throws {RangeError} when the file's size is no longer the one that was indexed, or there is no record n.
 * @example
 * ```ts
 * import { indexJsonl, openJsonl } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(path, '{"id": 1}\n{"id": 2}\n');
 * using file = openJsonl(await indexJsonl(path));
 * assert.deepEqual(file.record(1).value, { id: 2 });
 * await Deno.remove(path);
 * ```
 */
export function openJsonl(index: JsonlIndex): JsonlFile {
  const { file, count, offsets, lines } = index;
  const handle = openSync(file, "r");
  const size = fstatSync(handle).size;
  if (size !== offsets[count]) {
    closeSync(handle);
    throw rangeError(
      "DATA_INVALID",
      `Cannot read ${file}: it had ${offsets[count]} bytes when indexed and has ${size} now`,
    );
  }
  return {
    count,
    record(n) {
      const [start, end] = [offsets[n], offsets[n + 1]];
      if (start === undefined || end === undefined) {
        throw rangeError(
          "DATA_INVALID",
          `Cannot read record ${n} of ${file}: it has records 0 to ${count - 1}`,
        );
      }
      const bytes = bytesAt(handle, start, end - start); // up to the next record, blank lines included
      const line = bytes.indexOf(0x0a);
      return parseRecord({ file, line: lines[n]! }, line < 0 ? bytes : bytes.subarray(0, line));
    },
    [Symbol.dispose]() {
      closeSync(handle);
    },
  };
}

/**
 * A field that must be a nonempty text.
 *
 * @throws {TypeError} when it is missing or not a string.
 * @throws {RangeError} when it is empty or only white space.
 * @example
 * ```ts
 * import { textField } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const record = { file: "data.jsonl", line: 1, value: { prompt: "hello", score: 3 } };
 * assert.equal(textField(record, "prompt"), "hello");
 * assert.throws(() => textField(record, "score"), /data\.jsonl line 1: field "score" must be a string/);
 * ```
 */
export function textField(record: JsonlRecord, name: string): string {
  const value = Object.hasOwn(record.value, name) ? record.value[name] : undefined;
  const where = `${showLocation(record)}: field "${name}"`;
  if (value === undefined) {
    throw typeError(
      "DATA_INVALID",
      `${where} is missing; the record has ${
        Object.keys(record.value).map(quoted).join(", ") || "no fields"
      }`,
    );
  }
  if (typeof value !== "string") {
    throw typeError("DATA_INVALID", `${where} must be a string but is ${kindOf(value)}`);
  }
  if (value.trim() === "") throw rangeError("DATA_INVALID", `${where} is empty`);
  return value;
}

/**
 * The kind of a JSON value, in words.
 *
 * @example
 * ```ts
 * import { kindOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual([null, [1], {}, 1].map(kindOf), ["null", "an array", "an object", "a number"]);
 * ```
 */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

const quoted = (name: string): string => `"${name}"`;

/** The error of a file without a record. */
export function noRecords(file: string): RangeError {
  return rangeError(
    "DATA_INVALID",
    `Cannot use ${file}: it has no records; write one JSON object on each line`,
  );
}

/**
 * The record in some bytes of JSON.
 *
 * @throws {SyntaxError} when they are not UTF-8 or not JSON, or {TypeError} when they are no object.
 */
export function parseRecord(at: Location, bytes: Uint8Array): JsonlRecord {
  return recordOf(at, parseJson(at, bytes));
}

/** A record from a value that must be an object. @throws {TypeError} when it is none. */
export function recordOf(at: Location, value: unknown): JsonlRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw typeError("DATA_INVALID", `${showLocation(at)}: expected a JSON object but found ${kindOf(value)}`);
  }
  return { ...at, value: value as Readonly<Record<string, unknown>> };
}

function parseJson(at: Location, bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw syntaxError("DATA_INVALID", `${showLocation(at)}: the bytes are not UTF-8`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw syntaxError("DATA_INVALID", `${showLocation(at)}: malformed JSON: ${reason}`, { cause });
  }
}

/** Of a file that shrank since it was opened, what is left: the cut record fails to parse, with its line named. */
function bytesAt(handle: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, readAt(handle, offset, bytes));
}
