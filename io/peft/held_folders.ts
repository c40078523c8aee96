/** The folders of adapters that another one's folder names, and its method holds. */
import { realpath } from "node:fs/promises";
import { type Adapter, dispose, type Json, type Model } from "../../core/mod.ts";
import type { PeftConfig } from "../../formats/peft_config.ts";
import type { PeftFields } from "../../methods/peft/codec.ts";
import type { HeldAdapters, HeldFolders } from "../../methods/peft/form.ts";
import { isThere } from "../adapter_folder.ts";
import { namedFolder, type NamedFolderOptions } from "../named_folder.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Loads one held adapter; `what` says for messages whose it is. */
export type LoadHeld = (folder: string, model: Model, what: string) => Promise<Adapter>;

/** The adapters that a config's method holds. */
export async function loadHeld(
  folder: string,
  { fields }: PeftConfig,
  held: HeldFolders,
  model: Model,
  load: LoadHeld,
  options: NamedFolderOptions,
): Promise<HeldAdapters> {
  const found: Record<string, Adapter> = {};
  try {
    for (const [name, path] of Object.entries(foldersOf(fields, held))) {
      const where = await heldFolder(folder, held, name, path, options);
      found[name] = await load(where, model, `the ${held.called} "${name}" of "${folder}"`);
    }
    return found;
  } catch (error) {
    dispose(found);
    throw error;
  }
}

/** The folders by name, as the config has them. */
function foldersOf(fields: PeftFields, { field }: HeldFolders): Readonly<Record<string, Json>> {
  const value = fields[field];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, Json>>;
  }
  throw typeError(
    "FILE_INVALID",
    `Expected the field "${field}" of adapter_config.json to be folders by name but found ${
      JSON.stringify(value)
    }`,
  );
}

/** The fields with held folders as seen from outside. */
export function fromOutside(fields: PeftFields, held: HeldFolders, folder: string): PeftFields {
  const paths = Object.entries(foldersOf(fields, held)).map(([name, path]) => [name, `${folder}/${path}`]);
  return { ...fields, [held.field]: Object.fromEntries(paths) };
}

/** The likeliest of the possible ones first: beside the folder's own files, the config's path, that path from the folder. */
async function heldFolder(
  folder: string,
  held: HeldFolders,
  name: string,
  path: Json,
  { outsideFolders = false }: NamedFolderOptions,
): Promise<string> {
  if (typeof path !== "string") {
    throw typeError(
      "FILE_INVALID",
      `Expected the field "${held.field}" of adapter_config.json to have the path of a folder for the ${held.called} "${name}" but found ${
        JSON.stringify(path)
      }`,
    );
  }
  const what = `Cannot load the ${held.called} "${name}" of "${folder}"`;
  const beside = held.folder(name);
  if (/^[^/\\]+$/.test(name) && name !== "." && name !== "..") {
    if (await isThere(`${folder}/${beside}`)) {
      return await namedFolder(folder, beside, { what, outsideFolders });
    }
  }
  const inside = await namedFolder(folder, path, { what, outsideFolders });
  if (await isThere(inside)) return inside;
  if (await isThere(path)) {
    if (outsideFolders) return path;
    // Seen from the working directory, as PEFT has it.
    return await namedFolder(folder, await realpath(path), { what });
  }
  throw rangeError(
    "ADAPTER_NOT_FOUND",
    `${what}: there is no folder "${path}", which its config names, and no "${beside}"`,
  );
}
