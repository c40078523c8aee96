/** Files that are read more than once or in any order must be files. */

/**
 * Opens nothing: to open a pipe waits until someone writes into it.
 *
 * @throws {TypeError} when the file is a pipe or a device, which can be read only once. A folder passes: reading names it.
 */
export async function checkRegularFile(file: string): Promise<void> {
  const { isFile, isDirectory } = await Deno.stat(file);
  if (!isFile && !isDirectory) {
    throw new TypeError(
      `Cannot read ${file} in any order: it is a pipe or a device; write it to a file first`,
    );
  }
}
