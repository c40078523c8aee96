/** The data files that a path means: itself, or those of a folder. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { rangeError } from "../../errors/error.ts";

/** The forms of files. */
export type FileForm = "jsonl" | "json" | "csv" | "tsv" | "parquet";

const ENDINGS: Readonly<Record<string, FileForm>> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  csv: "csv",
  tsv: "tsv",
  parquet: "parquet",
};

/**
 * The form that a name tells, the ending of a compression left out; undefined for other names.
 *
 * @example
 * ```ts
 * import { fileForm } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(fileForm("data/train.CSV.gz"), "csv");
 * assert.equal(fileForm("README.md"), undefined);
 * ```
 */
export function fileForm(name: string): FileForm | undefined {
  const plain = name.toLowerCase().replace(/\.(gz|zst|zstd)$/, "");
  return ENDINGS[plain.slice(plain.lastIndexOf(".") + 1)];
}

/**
 * The files of a path in the order of their names: of a folder those below it whose names tell a form, hidden
 * ones left out.
 *
 * @throws {RangeError} when a folder has none.
 */
export async function dataFiles(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isFile() && fileForm(entry.name) !== undefined)
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.slice(path.length).split(/[\\/]/).some((part) => part.startsWith(".")))
    .sort((a, b) => a < b ? -1 : 1);
  if (found.length === 0) {
    throw rangeError(
      "DATA_INVALID",
      `Cannot read ${path}: the folder has no .jsonl, .json, .csv, .tsv or .parquet file, plain or with .gz or .zst`,
    );
  }
  return found;
}
