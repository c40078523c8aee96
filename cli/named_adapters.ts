/** Adapters under names, of commands that answer by several. */
import type { Adapter } from "../core/mod.ts";
import { loadTask } from "../io/task_file.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { type ModelFlags, openAdapter, type Opened } from "./load.ts";
import { InvalidArgumentError } from "./terminal/arguments.ts";
import { typeError } from "../errors/error.ts";

/** An adapter and what it is called. */
export interface NamedAdapter {
  readonly name: string;
  readonly source: string;
}

/** Loads the adapters for one base. @throws {TypeError} on one that was trained with another head. */
export async function loadNamed(
  adapters: readonly NamedAdapter[],
  { base }: Opened,
  flags: Pick<ModelFlags, "outsideFolders" | "methodFile">,
): Promise<Readonly<Record<string, Adapter>>> {
  const found: [string, Adapter][] = [];
  for (const { name, source } of adapters) {
    if (await loadTask(source) !== undefined) {
      throw typeError(
        "INVALID_ARGUMENT",
        `Cannot use the adapter ${source} here: it was trained for a classifier, which writes no text`,
      );
    }
    found.push([name, await openAdapter(source, base, flags)]);
  }
  return Object.fromEntries(found);
}

/** "name=folder", or a folder, from which the name is derived. */
export function namedAdapter(text: string, earlier: readonly NamedAdapter[] = []): readonly NamedAdapter[] {
  const cut = text.indexOf("=");
  const source = cut < 0 ? text : text.slice(cut + 1);
  const name = cut < 0 ? baseName(text) : text.slice(0, cut);
  if (source === "" || !/^[^\s:/]+$/.test(name)) {
    throw new InvalidArgumentError(
      `Expected <name>=<folder>, with a name without spaces, ":" and "/", but found "${text}"`,
    );
  }
  return [...earlier, { name, source }];
}

/** @throws {UsageError} when two have one name. */
export function checkNames(bases: readonly string[], adapters: readonly NamedAdapter[]): void {
  const names = ["base", ...bases, ...adapters.map(({ name }) => name)];
  const twice = names.slice(2).find((name, i) => names.indexOf(name) < i + 2);
  if (twice === undefined) return;
  throw new UsageError(
    `Two models would be called "${twice}": give --adapter another name, as in other=${twice}`,
  );
}

/** The last component of a path or hub id, without ".gguf". */
export function baseName(source: string): string {
  const last = source.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1)!.replace(/\.gguf$/i, "");
  return last.replace(/[\s:]+/g, "-") || "base";
}
