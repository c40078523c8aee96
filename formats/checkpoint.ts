/** A model's weights and config, from whatever stands on disk: a Hugging Face folder or a GGUF file. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { checkCounts, type CountedFields, MODEL_COUNTS } from "../core/mod.ts";
import { bitsandbytesView } from "./bitsandbytes.ts";
import { GGUF_COUNTS } from "./counted_fields.ts";
import { openGguf } from "./gguf.ts";
import { ggufModel } from "./gguf_model.ts";
import { openSafetensors, openSafetensorsIndex } from "./safetensors.ts";
import { withRopeScaling } from "./rope_config.ts";
import { isObject, parseJson } from "./strict_json.ts";
import type { JsonObject, TensorFile } from "./tensor_file.ts";
import { syntaxError, typeError } from "../errors/error.ts";

/**
 * An open checkpoint, with Hugging Face names and layouts for any kind of file. Close its `tensors` when
 * done.
 */
export interface Checkpoint {
  /** As in `config.json`, with `rope_parameters` under their older names; rebuilt from metadata for GGUF. */
  readonly config: JsonObject;
  /** The weights. */
  readonly tensors: TensorFile;
  /** The kind of source. */
  readonly kind: "folder" | "gguf";
}

/**
 * Opens a folder (`config.json` with `model.safetensors` or `model.safetensors.index.json`, with bitsandbytes
 * groups as single tensors) or a `.gguf` file.
 *
 * @throws {TypeError} when there are no weights in a supported format; pickle files (`.bin`, `.pt`) are never
 * opened.
 * @throws {SyntaxError} when a file is malformed.
 * @throws {RangeError} when a file's sizes disagree, or a count is above its bound.
 * @example
 * ```ts
 * import { openCheckpoint } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const checkpoint = openCheckpoint("embedded/model");
 * assert.equal(checkpoint.config["model_type"], "llama");
 * assert.ok(checkpoint.tensors.tensors.has("model.embed_tokens.weight"));
 * checkpoint.tensors.close();
 * ```
 */
export function openCheckpoint(path: string): Checkpoint {
  if (statSync(path).isFile()) return openFile(path);
  const names = new Set(readdirSync(path));
  const folder = path.endsWith("/") ? path : `${path}/`;
  if (!names.has("config.json")) {
    const gguf = [...names].find((name) => name.endsWith(".gguf"));
    throw typeError(
      "FILE_NOT_FOUND",
      gguf
        ? `Cannot open "${path}": it has no config.json; to open the GGUF file in it, give the path of "${gguf}"`
        : names.has("adapter_config.json")
        ? `Cannot open "${path}": it holds an adapter, not a model; give its base as the model (--model) and this folder as ` +
          "the adapter (--adapter)"
        : `Cannot open "${path}": it has no config.json`,
    );
  }
  const config = parseJson(`${folder}config.json`, readFileSync(`${folder}config.json`));
  if (!isObject(config)) {
    throw syntaxError("FILE_INVALID", `Cannot read ${folder}config.json: it is not a JSON object`);
  }
  checkCounts(`${folder}config.json`, config, MODEL_COUNTS);
  checkQuantization(path, config);
  return { kind: "folder", config: withRopeScaling(config), tensors: openWeights(path, folder, names) };
}

function openFile(path: string): Checkpoint {
  if (!path.endsWith(".gguf")) {
    throw typeError("FILE_NOT_FOUND", `Cannot open "${path}": expected a folder or a .gguf file`);
  }
  const file = openGguf(path);
  try {
    checkMetadata(path, file.metadata);
    return { kind: "gguf", ...ggufModel(file) };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** @throws {RangeError} when a count is above its bound. */
function checkMetadata(path: string, metadata: ReadonlyMap<string, unknown>): void {
  const architecture = `${metadata.get("general.architecture")}.`;
  const counts: CountedFields = Object.fromEntries(
    Object.entries(GGUF_COUNTS).map((
      [key, counted],
    ) => [key.startsWith("tokenizer.") ? key : `${architecture}${key}`, counted]),
  );
  checkCounts(path, Object.fromEntries([...metadata].filter(([key]) => Object.hasOwn(counts, key))), counts);
}

function openWeights(path: string, folder: string, names: ReadonlySet<string>): TensorFile {
  const index = "model.safetensors.index.json";
  if (!names.has("model.safetensors") && !names.has(index)) {
    const pickle = [...names].find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
    throw typeError(
      pickle ? "PICKLE_REFUSED" : "FILE_NOT_FOUND",
      pickle
        ? `Cannot open "${path}": "${pickle}" is a pickle file, which can run code when it is read; convert it to safetensors`
        : `Cannot open "${path}": it has no model.safetensors and no ${index}`,
    );
  }
  const file = names.has("model.safetensors")
    ? openSafetensors(`${folder}model.safetensors`)
    : openSafetensorsIndex(folder + index);
  try {
    return bitsandbytesView(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Weights quantized by another library would look like plain ones and silently give a wrong model. */
function checkQuantization(path: string, config: JsonObject): void {
  const quantization = config["quantization_config"];
  if (quantization === undefined || quantization === null) return;
  const method = isObject(quantization) ? quantization["quant_method"] : quantization;
  if (method !== "bitsandbytes") {
    throw typeError(
      "FILE_UNSUPPORTED",
      `Cannot open "${path}": expected quant_method "bitsandbytes" but found ${JSON.stringify(method)}`,
    );
  }
}
