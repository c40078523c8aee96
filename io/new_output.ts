/** An atomic output: it is created next to its target and then renamed. */
import { mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { exists, isNonEmpty } from "./path_exists.ts";
import { rangeError } from "../errors/error.ts";

/** The target of a result. */
export interface NewOutput {
  readonly path: string;
  /**
   * Creates the result at a neighbouring path (with the same extension) and renames it to the target. When
   * `make` throws, nothing of it remains and an earlier result is unchanged.
   */
  write(make: (path: string) => Promise<void>): Promise<void>;
}

/**
 * Checks the target of a file or folder before any work.
 *
 * @throws {RangeError} when it already exists and `overwrite` is false, or it is a folder without a model or
 *   an adapter. An empty folder does not count as existing.
 */
export function newOutput(path: string, overwrite: boolean): NewOutput {
  const target = path.replace(/[/\\]+$/, "") || path;
  if (!overwrite && isNonEmpty(target)) {
    throw rangeError(
      "OUTPUT_EXISTS",
      `Cannot write to ${target}: it exists; give another path, or --overwrite to replace it`,
    );
  }
  if (overwrite && isNonEmpty(target) && !isReplaceable(target)) {
    throw rangeError(
      "OUTPUT_EXISTS",
      `Cannot overwrite ${target}: it has no config.json and no adapter_config.json, so it is no earlier result; delete it ` +
        "yourself or give another path",
    );
  }
  const ending = /\.[a-z]+$/.exec(target)?.[0] ?? "";
  const beside = `${target.slice(0, target.length - ending.length)}.graft-partial${ending}`;
  return {
    path: target,
    write: async (make) => {
      mkdirSync(parentOf(target), { recursive: true });
      remove(beside);
      try {
        await make(beside);
        const old = `${target}.graft-old`;
        const had = exists(target);
        if (had) renameSync(target, old);
        renameSync(beside, target);
        if (had) remove(old);
      } catch (error) {
        remove(beside);
        throw error;
      }
    },
  };
}

function parentOf(path: string): string {
  const slash = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return slash < 0 ? "." : path.slice(0, slash + 1);
}

/** Any file, but not a folder with other content. */
function isReplaceable(path: string): boolean {
  return !statSync(path).isDirectory() ||
    ["config.json", "adapter_config.json"].some((name) => exists(`${path}/${name}`));
}

function remove(path: string): void {
  if (exists(path)) rmSync(path, { recursive: true });
}
