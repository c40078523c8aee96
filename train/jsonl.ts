/**
 * JSON Lines files: one object per line, UTF-8, read without holding the file in memory. A byte order mark at
 * the start, CRLF line ends and blank lines are accepted; anything else invalid is an error that names the
 * file and the line.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { checkRegularFile } from "./regular_file.ts";
import { readAt } from "../platform/files.ts";

/** The location of a record. Lines count from 1, including blank ones, as in editors. */
export interface Location {
  /** The file, as given. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
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
export function showLocation({ file, line }: Location): string {
  return `${file} line ${line}`;
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
  for await (const { line, bytes } of readLines(file)) {
    found = true;
    yield parseRecord(file, line, bytes);
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
 * Builds the index in one pass that also checks every record; `visit` is called once with each one, for
 * instance to check its fields or to record its length. Takes 16 bytes per record.
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
  visit: (record: JsonlRecord) => void = () => {},
): Promise<JsonlIndex> {
  await checkRegularFile(file);
  const offsets: number[] = [];
  const lines: number[] = [];
  for await (const { line, offset, bytes } of readLines(file)) {
    visit(parseRecord(file, line, bytes));
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
    throw new RangeError(
      `Cannot read ${file}: it had ${offsets[count]} bytes when indexed and has ${size} now`,
    );
  }
  return {
    count,
    record(n) {
      const [start, end] = [offsets[n], offsets[n + 1]];
      if (start === undefined || end === undefined) {
        throw new RangeError(`Cannot read record ${n} of ${file}: it has records 0 to ${count - 1}`);
      }
      // The bytes up to the next record may hold blank lines; to JSON these are white space.
      return parseRecord(file, lines[n]!, bytesAt(handle, start, end - start));
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
    throw new TypeError(
      `${where} is missing; the record has ${
        Object.keys(record.value).map(quoted).join(", ") || "no fields"
      }`,
    );
  }
  if (typeof value !== "string") throw new TypeError(`${where} must be a string but is ${kindOf(value)}`);
  if (value.trim() === "") throw new RangeError(`${where} is empty`);
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

function noRecords(file: string): RangeError {
  return new RangeError(`Cannot use ${file}: it has no records; write one JSON object a line`);
}

function parseRecord(file: string, line: number, bytes: Uint8Array): JsonlRecord {
  const value = parseJson(file, line, bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${showLocation({ file, line })}: expected a JSON object but found ${kindOf(value)}`);
  }
  return { file, line, value: value as Readonly<Record<string, unknown>> };
}

function parseJson(file: string, line: number, bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SyntaxError(`${showLocation({ file, line })}: the bytes are not UTF-8`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(`${showLocation({ file, line })}: malformed JSON: ${reason}`, { cause });
  }
}

/** Of a file that shrank since it was opened, what is left: the cut record fails to parse, with its line named. */
function bytesAt(handle: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, readAt(handle, offset, bytes));
}

interface Line {
  readonly line: number;
  readonly offset: number;
  /** Valid until the next line is requested. */
  readonly bytes: Uint8Array;
}

/** The lines that are not blank, without their line feed, cut at the byte level: no UTF-8 sequence contains one. */
async function* readLines(file: string): AsyncGenerator<Line> {
  await using handle = await open(file);
  if ((await handle.stat()).isDirectory()) {
    throw new TypeError(`Cannot read ${file}: it is a folder; give a file of JSON Lines in it`);
  }
  const buffer = new Uint8Array(1 << 16);
  let pending: Uint8Array[] = [];
  let line = 1;
  let offset = 0;
  for (let n = await next(handle, buffer); n > 0; n = await next(handle, buffer)) {
    const chunk = buffer.subarray(0, n);
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const bytes = joined(pending, chunk.subarray(from, end));
      yield* usable({ line, offset, bytes });
      pending = [];
      line++;
      offset += bytes.length + 1;
      from = end + 1;
    }
    if (from < n) pending.push(chunk.slice(from));
  }
  yield* usable({ line, offset, bytes: joined(pending, new Uint8Array(0)) });
}

const next = async (handle: FileHandle, buffer: Uint8Array): Promise<number> =>
  (await handle.read(buffer, 0, buffer.length)).bytesRead;

/** The line without a byte order mark, or nothing when it is blank. */
function* usable({ line, offset, bytes }: Line): Generator<Line> {
  const marked = line === 1 && bytes[0] === 0xEF && bytes[1] === 0xBB && bytes[2] === 0xBF;
  const skip = marked ? 3 : 0;
  const rest = bytes.subarray(skip);
  const blank = rest.every((byte) => byte === 32 || byte === 9 || byte === 13);
  if (!blank) yield { line, offset: offset + skip, bytes: rest };
}

function joined(pieces: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  if (pieces.length === 0) return last;
  const all = [...pieces, last];
  const bytes = new Uint8Array(all.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of all) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
