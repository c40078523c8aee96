/** Checks of paths for results. */
import { readdirSync, statSync } from "node:fs";
import { isMissing } from "../platform/files.ts";

/** Whether anything exists at the path. */
export function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Whether a file or a nonempty folder exists at the path. */
export function isNonEmpty(path: string): boolean {
  return exists(path) &&
    (!statSync(path).isDirectory() || readdirSync(path).length > 0);
}
