/** Trained adapters that a method is made of, by the folders in which they are. */
import { type Adapter, dispose, type Preparing } from "../../core/mod.ts";
import type { OptionSchema } from "../../core/options/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** Folders by name. */
export type Folders = Readonly<Record<string, string>>;

/** At least so many folders of adapters. */
export const foldersSchema = (least: number): OptionSchema<Folders> => ({
  what: `${
    least === 1 ? "at least one trained adapter" : `at least ${least} trained adapters`
  }, as {"name": "folder", …}`,
  accepts: (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.keys(value).length >= least && Object.values(value).every((path) => typeof path === "string"),
});

/** The folders of an option without a default. @throws {RangeError} when it is not given. */
export function foldersOf(method: string, name: string, given: unknown, least: number): Folders {
  if (given !== undefined) return given as Folders;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Expected ${method}'s option "${name}" to be ${foldersSchema(least).what}`,
  );
}

/** The adapters of some folders; what is loaded is freed when one fails. */
export async function loadAll(
  load: Preparing["load"],
  folders: Folders,
): Promise<Readonly<Record<string, Adapter>>> {
  const found: Record<string, Adapter> = {};
  try {
    for (const [name, path] of Object.entries(folders)) found[name] = await load(path);
    return found;
  } catch (error) {
    freeAll(found);
    throw error;
  }
}

/** Frees the parameters of adapters. */
export function freeAll(adapters: Readonly<Record<string, Adapter>>): void {
  for (const { params } of Object.values(adapters)) dispose(params);
}
