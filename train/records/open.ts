/**
 * Records by index, for data larger than memory. A plain file of JSON Lines is read where it stands. Records of every other
 * form are written once, as JSON Lines, to a temporary file, so that any of them can be read without the others, and so
 * that the order of training is the same for the same records in whatever form they come.
 */
import { closeSync, openSync, rmSync } from "node:fs";
import { readAt, writeAt } from "../../platform/files.ts";
import { temporaryFile } from "../../platform/temporary.ts";
import {
  indexJsonl,
  type JsonlFile,
  type JsonlRecord,
  type Location,
  locationOf,
  openJsonl,
  parseRecord,
} from "../jsonl.ts";
import { checkRegularFile } from "../regular_file.ts";
import { isPlainJsonl, readRecords } from "./read.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Opens the records of a file or folder. `visit` is called once with each of them and awaited, for instance to check its fields.
 * A temporary copy is removed when the file is closed.
 *
 * @throws as `readRecords`, and whatever `visit` throws.
 * @throws {TypeError} when the file is a pipe or a device, which can be read only once.
 * @example
 * ```ts
 * import { openRecords } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile({ suffix: ".csv" });
 * await Deno.writeTextFile(path, "prompt,completion\n1 + 1 =,2\n2 + 2 =,4\n");
 * using records = await openRecords(path);
 * assert.equal(records.count, 2);
 * assert.equal(records.record(1).value["completion"], "4");
 * await Deno.remove(path);
 * ```
 */
export async function openRecords(
  path: string,
  visit: (record: JsonlRecord) => unknown = () => {},
): Promise<JsonlFile> {
  await checkRegularFile(path);
  return await isPlainJsonl(path)
    ? openJsonl(await indexJsonl(path, visit))
    : await copiedRecords(path, visit);
}

/** Bytes that are written together. */
const CHUNK = 1 << 20;

async function copiedRecords(
  path: string,
  visit: (record: JsonlRecord) => unknown,
): Promise<JsonlFile> {
  const copy = temporaryFile("graft-records-");
  const handle = openSync(copy, "r+");
  const close = (): void => {
    closeSync(handle);
    rmSync(copy, { force: true });
  };
  try {
    const files: Location[] = [];
    const places: { offsets: number[]; lines: number[]; files: number[] } = {
      offsets: [0],
      lines: [],
      files: [],
    };
    let [end, waiting] = [0, 0];
    const chunks: Uint8Array[] = [];
    const flush = (): void => {
      for (const chunk of chunks.splice(0)) writeAt(handle, null, chunk);
      waiting = 0;
    };
    for await (const record of readRecords(path)) {
      await visit(record);
      if (files.at(-1)?.file !== record.file) files.push(locationOf(record));
      const bytes = new TextEncoder().encode(`${JSON.stringify(record.value)}\n`);
      end += bytes.length;
      places.offsets.push(end);
      places.lines.push(record.line);
      places.files.push(files.length - 1);
      chunks.push(bytes);
      waiting += bytes.length;
      if (waiting >= CHUNK) flush();
    }
    flush();
    const offsets = Float64Array.from(places.offsets);
    const lines = Float64Array.from(places.lines);
    const fileOf = Uint32Array.from(places.files);
    const count = lines.length;
    return {
      count,
      record(n) {
        const [start, end] = [offsets[n], offsets[n + 1]];
        if (start === undefined || end === undefined) {
          throw rangeError(
            "DATA_INVALID",
            `Cannot read record ${n} of ${path}: it has records 0 to ${count - 1}`,
          );
        }
        const bytes = new Uint8Array(end - start);
        readAt(handle, start, bytes);
        return parseRecord({ ...files[fileOf[n]!]!, line: lines[n]! }, bytes);
      },
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
