/** The name, in an adapter's folder, of the model that it was trained on. */
import { readFile } from "node:fs/promises";
import { PEFT_FILES } from "../formats/peft_keys.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import { isThere, localFolder } from "./adapter_folder.ts";

/** The base that an adapter names, a path or hub id; undefined where it names none, as in a GGUF file. */
export async function baseModelName(source: string): Promise<string | undefined> {
  if (source.endsWith(".gguf")) return undefined;
  const path = `${await localFolder(source, undefined)}/${PEFT_FILES.config}`;
  if (!await isThere(path)) return undefined;
  const config = parseJson(path, await readFile(path));
  const base = isObject(config) ? config["base_model_name_or_path"] ?? config["model_name"] : undefined;
  return typeof base === "string" && base !== "" ? base : undefined;
}

/**
 * Whether two paths or hub ids name the same model: their last components are equal, without suffixes for the
 * storage type ("SmolLM2.Q4_1.gguf"). A model has many names, so different names prove nothing.
 */
export function sameBaseName(one: string, other: string): boolean {
  return one === other || lastName(one) === lastName(other);
}

/** Python's cache stores a hub id as `models--owner--name/snapshots/<commit>`. */
const lastName = (path: string): string =>
  path.replace(/[\\/]+$/, "")
    .replace(/^.*models--(?:.*--)?([^\\/]+)[\\/]snapshots[\\/][^\\/]+$/, "$1")
    .replace(/^.*[\\/]/, "").toLowerCase()
    .replace(/\.(gguf|safetensors)$/, "")
    .replace(/[.-](i?q\d\w*|b?f16|f32)$/, "");
