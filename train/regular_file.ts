/** Checks that files to be read more than once or in any order are regular files. */
import { stat } from "node:fs/promises";
import { typeError } from "../errors/error.ts";

/**
 * Opens nothing, since opening a pipe blocks until someone writes to it.
 *
 * @throws {TypeError} when the file is a pipe or a device, which can be read only once. A folder passes: the
 * error comes when it is read.
 */
export async function checkRegularFile(file: string): Promise<void> {
  const found = await stat(file);
  if (!found.isFile() && !found.isDirectory()) {
    throw typeError(
      "DATA_INVALID",
      `Cannot read ${file} in any order: it is a pipe or a device; write it to a file first`,
    );
  }
}
