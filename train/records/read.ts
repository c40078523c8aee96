/**
 * Records of data files of every form: JSON Lines, JSON, CSV, TSV and Parquet, each also compressed by gzip or
 * zstd, and folders of them.
 */
import { type JsonlRecord, kindOf, noRecords, parseRecord, recordOf } from "../jsonl.ts";
import { compressionOf, contentBytes, firstBytes } from "./bytes.ts";
import { csvRecords } from "./csv.ts";
import { dataFiles, fileForm } from "./files.ts";
import { elementsOf } from "./json_array.ts";
import { joined, linesOf, markLength } from "./lines.ts";
import { parquetRecords } from "./parquet.ts";

/**
 * The records of a file or folder in order, read incrementally. The form is told by a file's name, Parquet also by its
 * first bytes; a file of any other name is read as JSON Lines. `.json` is an array of objects, an object whose one list
 * holds them, or JSON Lines.
 *
 * @throws {SyntaxError} when a file is not what its name says; the message names file and row.
 * @throws {RangeError} when there is no record, or two columns have the same name.
 * @example
 * ```ts
 * import { readRecords } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const folder = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${folder}/a.csv`, 'prompt,completion\n"1 + 1,\n=",2\n');
 * await Deno.writeTextFile(`${folder}/b.json`, '[{"prompt": "2 + 2 =", "completion": "4"}]');
 * const prompts = await Array.fromAsync(readRecords(folder), ({ value }) => value["prompt"]);
 * assert.deepEqual(prompts, ["1 + 1,\n=", "2 + 2 ="]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function* readRecords(path: string): AsyncGenerator<JsonlRecord> {
  let found = false;
  for (const file of await dataFiles(path)) {
    for await (const record of recordsOf(file)) {
      found = true;
      yield record;
    }
  }
  if (!found) throw noRecords(path);
}

/** Whether a path is one file of JSON Lines that is not compressed, whose records can be found by their offsets. */
export async function isPlainJsonl(path: string): Promise<boolean> {
  const [first, ...others] = await dataFiles(path);
  if (others.length > 0 || first !== path) return false;
  const form = fileForm(path);
  if (form !== undefined && form !== "jsonl") return false;
  const head = await firstBytes(path, 4);
  return !isParquet(head) && compressionOf(head) === undefined;
}

const isParquet = (head: Uint8Array): boolean => new TextDecoder().decode(head) === "PAR1";

function recordsOf(file: string): AsyncGenerator<JsonlRecord> {
  const form = fileForm(file);
  switch (form) {
    case "csv":
    case "tsv":
      return csvRecords(() => contentBytes(file), file, form === "csv" ? "," : "\t");
    case "json":
      return jsonRecords(file);
    case "parquet":
      return parquetRecords(file);
    case "jsonl":
      return jsonlRecords(file);
    default:
      return unnamedRecords(file);
  }
}

async function* unnamedRecords(file: string): AsyncGenerator<JsonlRecord> {
  yield* isParquet(await firstBytes(file, 4)) ? parquetRecords(file) : jsonlRecords(file);
}

async function* jsonlRecords(file: string): AsyncGenerator<JsonlRecord> {
  for await (const { line, bytes } of linesOf(contentBytes(file))) yield parseRecord({ file, line }, bytes);
}

async function* jsonRecords(file: string): AsyncGenerator<JsonlRecord> {
  const start = await firstSign(file);
  if (start === "[") {
    for await (const { row, bytes } of elementsOf(withoutMark(contentBytes(file)), file)) {
      yield parseRecord({ file, line: row, unit: "row" }, bytes);
    }
    return;
  }
  const lines: JsonlRecord[] = [];
  try {
    for await (const record of jsonlRecords(file)) {
      lines.push(record);
      if (lines.length < 2) continue;
      yield* lines.splice(0);
      for await (const { line, bytes } of linesOf(contentBytes(file))) {
        if (line > record.line) yield parseRecord({ file, line }, bytes);
      }
      return;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError) || lines.length > 0) throw error;
    yield* rowsWithin(file, await wholeJson(file));
    return;
  }
  yield* rowsWithin(file, lines[0]?.value);
}

/** The objects of the one list that an object has; an object without one is a record itself. */
function* rowsWithin(file: string, value: unknown): Generator<JsonlRecord> {
  const whole = recordOf({ file, line: 1, unit: "row" }, value);
  const lists = Object.values(whole.value).filter((list) =>
    Array.isArray(list) && list.length > 0 &&
    list.every((item) => kindOf(item) === "an object")
  );
  // Messages of one conversation are a list of objects too, so a list beside other fields is part of a record.
  const named = Object.keys(whole.value)[0];
  if (
    lists.length !== 1 || Object.keys(whole.value).length > 1 || named === "messages" ||
    named === "conversations"
  ) {
    yield whole;
    return;
  }
  for (const [i, item] of (lists[0] as readonly unknown[]).entries()) {
    yield recordOf({ file, line: i + 1, unit: "row" }, item);
  }
}

async function wholeJson(file: string): Promise<unknown> {
  const chunks = await Array.fromAsync(withoutMark(contentBytes(file)), (chunk) => chunk.slice());
  return parseRecord({ file, line: 1, unit: "row" }, joined(chunks, new Uint8Array(0))).value;
}

async function firstSign(file: string): Promise<string | undefined> {
  for await (const { bytes } of linesOf(contentBytes(file))) {
    return String.fromCharCode(bytes.find((byte) => byte > 32) ?? 0);
  }
  return undefined;
}

async function* withoutMark(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let first = true;
  for await (const chunk of chunks) {
    yield first ? chunk.subarray(markLength(chunk)) : chunk;
    first = false;
  }
}
