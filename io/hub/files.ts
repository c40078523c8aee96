/** Which files of a hub repository a model or adapter needs. */
import { rangeError } from "../../errors/error.ts";

/** Files that may contain a tokenizer or generation settings. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "spiece.model",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "generation_config.json",
] as const;

const SMALL: ReadonlySet<string> = new Set([
  ...TOKENIZER_FILES,
  "config.json",
  "model.safetensors.index.json",
  "adapter_config.json",
  "head_config.json",
]);

/**
 * The files to fetch, in order of name: those that match the patterns, or by default the configs, tokenizer
 * files, chat template and safetensors of the top folder; for a repository without safetensors its GGUF file,
 * if it has just one. If there are sharded or single `model…safetensors`, other weight files
 * (`consolidated…`, `….fp16.safetensors`) are duplicates and are skipped.
 *
 * @param id The repository's name in error messages.
 * @param paths All its files.
 * @param patterns Names, with `*` for any run of characters.
 * @throws {RangeError} when a pattern matches nothing, a requested file is pickled (`.bin`, `.pt`), there are
 *   no weights, or a name would escape the folder.
 */
export function neededFiles(
  id: string,
  paths: readonly string[],
  patterns?: readonly string[],
): readonly string[] {
  const chosen = patterns === undefined
    ? byDefault(id, paths)
    : patterns.flatMap((p) => matching(id, paths, p));
  for (const path of chosen) {
    if (/^\/|^[A-Za-z]:|\\|\0|(^|\/)\.{0,2}(\/|$)/.test(path)) {
      throw rangeError("HUB_FILES", `Cannot download "${path}" of ${id}: the name leads out of the folder`);
    }
    if (/\.(bin|pt|pth|pkl|ckpt)$/.test(path)) {
      throw rangeError(
        "PICKLE_REFUSED",
        `Cannot download "${path}" of ${id}: pickled files can run code and are never read; convert it to safetensors`,
      );
    }
  }
  return [...new Set(chosen)].sort();
}

/** Endings of data files in the order in which one form is chosen. */
const DATA = ["parquet", "jsonl", "ndjson", "json", "csv", "tsv"];

/**
 * The files of a data set to train on: those of one form, Parquet first, and of these those whose path says "train" where
 * any does. Patterns for `neededFiles`.
 *
 * @throws {RangeError} when there is none, or several configurations have their own.
 */
export function dataSetFiles(id: string, paths: readonly string[]): readonly string[] {
  const described = /(^|\/)(\.|dataset_infos\.json$|.*config\.json$)/;
  const ofForm = DATA.map((ending) =>
    paths.filter((path) => new RegExp(`\\.${ending}(\\.(gz|zst))?$`, "i").test(path) && !described.test(path))
  ).find((found) => found.length > 0);
  if (ofForm === undefined) {
    throw rangeError(
      "HUB_FILES",
      `Expected the data set ${id} to hold ${DATA.map((ending) => `.${ending}`).join(", ")} but found ${
        paths.join(", ") || "nothing"
      }`,
    );
  }
  const train = ofForm.filter((path) => /(^|[^a-z])train([^a-z]|$)/i.test(path));
  const chosen = train.length > 0 ? train : ofForm;
  const folders = [...new Set(chosen.map((path) => path.slice(0, path.lastIndexOf("/") + 1)))];
  if (folders.length > 1) {
    throw rangeError(
      "HUB_FILES",
      `Cannot choose among the parts of the data set ${id}: ${
        folders.map((name) => name || "./").join(", ")
      }; ` +
        "download one and give its folder",
    );
  }
  return chosen;
}

function byDefault(id: string, paths: readonly string[]): readonly string[] {
  const top = paths.filter((path) => !path.includes("/"));
  const small = top.filter((path) => SMALL.has(path));
  const weights = top.filter((path) => path.endsWith(".safetensors"));
  const model = weights.filter((path) => /^model(-\d+-of-\d+)?\.safetensors$/.test(path));
  const adapters = weights.filter((path) =>
    /^(adapter|head|pytorch_adapter|pytorch_model_head|model_head)/.test(path)
  );
  if (model.length > 0) return [...small, ...model, ...adapters];
  if (weights.length > 0) return [...small, ...weights];
  const gguf = top.filter((path) => path.endsWith(".gguf"));
  if (gguf.length === 1) return [...small, ...gguf];
  const found = [...gguf, ...top.filter((path) => path.endsWith(".bin"))];
  throw rangeError(
    "HUB_FILES",
    `Expected ${id} to hold safetensors or one GGUF file but found ${found.join(", ") || "no weights"}` +
      (gguf.length > 1 ? "; say which in { files }" : ""),
  );
}

function matching(id: string, paths: readonly string[], pattern: string): readonly string[] {
  const source = pattern.split("*").map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*");
  const found = paths.filter((path) => new RegExp(`^${source}$`, "s").test(path));
  if (found.length === 0) {
    throw rangeError("HUB_FILES", `Cannot download "${pattern}" of ${id}: the repository has no such file`);
  }
  return found;
}
