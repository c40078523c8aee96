/** Data sets of the hub, as folders of data files. */
import { download, type DownloadOptions, hubId } from "./download.ts";

/** The branch on which the hub keeps every public data set as Parquet. */
const CONVERTED = "refs/convert/parquet";

/**
 * Downloads the training part of a data set and returns the local folder. Where the repository itself has no data file,
 * those are taken into which the hub converted it.
 *
 * @param id "org/name" or "org/name@revision".
 * @throws as `download`, and {RangeError} when several parts could be meant.
 * @example
 * ```ts
 * import { downloadDataSet } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * // const folder = await downloadDataSet("HuggingFaceTB/smoltalk");
 * await assert.rejects(downloadDataSet("data.jsonl"), SyntaxError); // no id
 * ```
 */
export async function downloadDataSet(
  id: string,
  options: Omit<DownloadOptions, "type"> = {},
): Promise<string> {
  try {
    return await download(id, { ...options, type: "dataset" });
  } catch (error) {
    const stated = options.revision ?? hubId(id)?.revision;
    const absent = error instanceof RangeError && error.message.startsWith("Expected the data set");
    if (!absent || stated !== undefined) throw error;
    return await download(id, { ...options, type: "dataset", revision: CONVERTED });
  }
}
