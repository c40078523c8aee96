/** Checks of paths for results. */

/** Whether anything exists at the path. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether a file or a nonempty folder exists at the path. */
export function isOccupied(path: string): boolean {
  return exists(path) &&
    (!Deno.statSync(path).isDirectory || !Deno.readDirSync(path)[Symbol.iterator]().next().done);
}
