/** Configs with one count out of all bounds, and what loading them may cost. */
import assert from "node:assert/strict";
import { isObject } from "../../formats/strict_json.ts";

/** The way to a value in JSON. */
export type Path = readonly (string | number)[];

/** Where JSON has integers; of a list the first two. */
export function* integersIn(value: unknown, path: Path = []): Generator<Path> {
  if (Number.isInteger(value)) yield path;
  else if (Array.isArray(value)) {
    for (const [i, item] of value.slice(0, 2).entries()) yield* integersIn(item, [...path, i]);
  } else if (isObject(value)) {
    for (const [name, item] of Object.entries(value)) yield* integersIn(item, [...path, name]);
  }
}

/** The same JSON with another value at a place. */
export function withValue(json: unknown, [name, ...rest]: Path, value: unknown): unknown {
  if (name === undefined) return value;
  if (Array.isArray(json)) {
    return json.map((item, i) => i === name ? withValue(item, rest, value) : item);
  }
  assert.ok(isObject(json));
  return { ...json, [name]: withValue(json[name], rest, value) };
}

/** Copies a folder with those in it. */
export function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyFolder(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

/** The files of some names in a folder and below it, as paths from the folder. */
export function* filesNamed(folder: string, names: readonly string[], below = ""): Generator<string> {
  for (const { name, isDirectory } of [...Deno.readDirSync(`${folder}/${below}`)].sort(byName)) {
    if (isDirectory) yield* filesNamed(folder, names, `${below}${name}/`);
    else if (names.includes(name)) yield `${below}${name}`;
  }
}

const byName = (a: Deno.DirEntry, b: Deno.DirEntry): number => a.name < b.name ? -1 : 1;

const SECONDS = 3;
const BYTES = 300e6;

/**
 * Runs what must end soon and in little memory, whether it works or not. Never-ending work is seen by the test's own time.
 *
 * @returns What it threw.
 */
export async function cheaply(what: string, run: () => Promise<void>): Promise<Error | undefined> {
  const before = Deno.memoryUsage().rss;
  const start = performance.now();
  let thrown: unknown;
  try {
    await run();
  } catch (error) {
    thrown = error;
  }
  const seconds = (performance.now() - start) / 1000;
  const bytes = Deno.memoryUsage().rss - before;
  assert.ok(seconds < SECONDS, `${what} took ${seconds} s`);
  assert.ok(bytes < BYTES, `${what} took ${bytes} bytes`);
  assert.ok(thrown === undefined || thrown instanceof Error, what);
  assert.doesNotMatch(`${thrown}`, /call stack|Invalid array length|allocation/i, what);
  return thrown;
}
