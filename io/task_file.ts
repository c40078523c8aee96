/**
 * `task.json` of an adapter folder: the head that it was trained with, where the base has another or none.
 * Adapter formats do not store the names of classes.
 */
import { readFile } from "node:fs/promises";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import type { Task } from "../models/mod.ts";
import { isMissing } from "../platform/files.ts";
import { syntaxError } from "../errors/error.ts";

const NAME = "task.json";

/** Writes the task of an adapter. */
export function saveTask(folder: string, task: Task): Promise<void> {
  return writeTextAtomically(`${folder}/${NAME}`, `${JSON.stringify(task, null, 2)}\n`);
}

/**
 * The task of an adapter's folder; undefined where there is none.
 *
 * @throws {SyntaxError} when the file exists but is not a task.
 */
export async function loadTask(folder: string): Promise<Task | undefined> {
  const path = `${folder}/${NAME}`;
  const bytes = await readFile(path).catch((error) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (bytes === undefined) return undefined;
  const value = parseJson(path, bytes);
  const { kind, names } = isObject(value) ? value : {};
  switch (kind) {
    case "score":
      return { kind };
    case "classify":
    case "flag":
    case "tag":
      if (Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === "string")) {
        return { kind, names };
      }
  }
  throw syntaxError(
    "FILE_INVALID",
    `Cannot read ${path}: expected a "kind" of task with the "names" of its classes`,
  );
}
