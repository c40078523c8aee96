/** Saves a model's tokenizer along with the model. */
import { readFile, realpath, stat } from "node:fs/promises";
import type { Model } from "../core/mod.ts";
import { writeAtomically, writeTextAtomically } from "../formats/atomic_write.ts";
import { openGguf } from "../formats/gguf.ts";
import type { GgufValue } from "../formats/gguf_metadata.ts";
import { ggufTokenizerFiles } from "../formats/gguf_tokenizer.ts";
import { vocabularyFields } from "../formats/gguf_vocabulary.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import type { JsonObject } from "../formats/tensor_file.ts";
import { TOKENIZER_FILES } from "./hub/files.ts";
import { localCopy } from "./local_path.ts";
import { systemCode } from "../platform/files.ts";
import { syntaxError } from "../errors/error.ts";

/**
 * Writes a tokenizer's files to a model's folder: copies of those in the folder or download that the model
 * came from, or those derived from a GGUF file.
 */
export async function copyTokenizer(from: string | undefined, folder: string): Promise<void> {
  const source = from === undefined ? undefined : await localCopy(from);
  if (source !== undefined && source.endsWith(".gguf") && await isFile(source)) {
    return await writeGgufTokenizer(source, folder);
  }
  if (source === undefined || !await isFolder(source) || await sameFolder(source, folder)) return;
  for (const name of TOKENIZER_FILES) {
    const bytes = await optionalFile(`${source}/${name}`);
    if (bytes !== undefined) await writeAtomically(`${folder}/${name}`, (sink) => sink.write(bytes));
  }
}

/**
 * The `tokenizer.*` metadata for a GGUF file, from the GGUF file or folder that a model came from, if any.
 */
export async function ggufVocabulary(model: Model): Promise<ReadonlyMap<string, GgufValue>> {
  const source = model.source === undefined ? undefined : await localCopy(model.source);
  if (source === undefined) return new Map();
  if (await isFolder(source)) {
    const tokenizer = await optionalJson(`${source}/tokenizer.json`);
    if (tokenizer === undefined) return new Map();
    const config = await optionalJson(`${source}/tokenizer_config.json`);
    const [embedding] = model.spec.embeddings.filter((place) => place.role === "token");
    return vocabularyFields({
      tokenizer,
      ...config && { config },
      ...embedding && { vocabSize: embedding.rows },
    });
  }
  if (!source.endsWith(".gguf") || !await isFile(source)) return new Map();
  const file = openGguf(source);
  try {
    return new Map([...file.fields].filter(([key]) => key.startsWith("tokenizer.")));
  } finally {
    file.close();
  }
}

async function writeGgufTokenizer(source: string, folder: string): Promise<void> {
  const file = openGguf(source);
  try {
    if (!file.metadata.has("tokenizer.ggml.tokens")) return;
    const files = ggufTokenizerFiles(file.metadata);
    const config = {
      tokenizer_class: "PreTrainedTokenizerFast",
      ...files.config as JsonObject,
      ...files.chatTemplate !== undefined && { chat_template: files.chatTemplate },
    };
    await writeTextAtomically(`${folder}/tokenizer.json`, JSON.stringify(files.tokenizer));
    await writeTextAtomically(`${folder}/tokenizer_config.json`, `${JSON.stringify(config, null, 2)}\n`);
  } finally {
    file.close();
  }
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then((info) => info.isFile(), () => false);
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then((info) => info.isDirectory(), () => false);
}

async function sameFolder(a: string, b: string): Promise<boolean> {
  return await realpath(a) === await realpath(b);
}

/** A file's bytes, or undefined when there is none. */
export async function optionalFile(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function optionalJson(path: string): Promise<JsonObject | undefined> {
  const bytes = await optionalFile(path);
  if (bytes === undefined) return undefined;
  const value = parseJson(path, bytes);
  if (!isObject(value)) throw syntaxError("FILE_INVALID", `Cannot read ${path}: it is not a JSON object`);
  return value;
}
