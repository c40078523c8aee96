/** What stands at a path where a result is to go. */

/** Whether anything is there. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether a file, or a folder with something in it, is there. */
export function isOccupied(path: string): boolean {
  return exists(path) &&
    (!Deno.statSync(path).isDirectory || !Deno.readDirSync(path)[Symbol.iterator]().next().done);
}
