/** What a download's folder says of its files. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeTextAtomically } from "../../formats/atomic_write.ts";

/**
 * The content of `.graft.json`: the version of each file, and which selections of files were once complete.
 */
export interface DownloadRecord {
  readonly files: Readonly<Record<string, { readonly version: string; readonly size: number }>>;
  readonly complete: readonly string[];
}

/** The record of a folder; of nothing where there is none. */
export async function readRecord(folder: string): Promise<DownloadRecord> {
  try {
    const { files, complete } = JSON.parse(await readFile(join(folder, ".graft.json"), "utf8"));
    return { files: files ?? {}, complete: complete ?? [] };
  } catch {
    // Missing, or truncated while being written: then the files are fetched again.
    return { files: {}, complete: [] };
  }
}

/** Writes the record whole or not at all. */
export async function writeRecord(folder: string, record: DownloadRecord): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeTextAtomically(join(folder, ".graft.json"), JSON.stringify(record, null, 1) + "\n");
}
