/**
 * Describes the content of a folder or file from headers and JSON alone: no weights are read. Invalid content
 * is an error, as it would be when loading.
 */
import { readdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { openGguf } from "../formats/gguf.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import type { JsonObject } from "../formats/tensor_file.ts";
import { type AdapterDescription, inspectAdapter, inspectGgufAdapter } from "./inspect_adapter.ts";
import { type Contents, contents, exists } from "./inspect_contents.ts";
import { inspectGgufModel, inspectModelFolder, type ModelDescription } from "./inspect_model.ts";
import { systemCode } from "../platform/files.ts";
import { typeError } from "../errors/error.ts";

export type { AdapterDescription, Contents, ModelDescription };

/** A folder with several adapters. */
export interface AdaptersDescription {
  /** Discriminant of the union of descriptions. */
  readonly kind: "adapters";
  /** One per subfolder. */
  readonly adapters: readonly AdapterDescription[];
}

/** Tensors without a model. */
export interface TensorsDescription extends Contents {
  /** Discriminant of the union of descriptions. */
  readonly kind: "tensors";
  /** The file's format. */
  readonly format: "safetensors" | "gguf";
  /** The header's metadata. */
  readonly metadata: JsonObject;
  /** Names of all tensors. */
  readonly names: readonly string[];
}

/** Anything that `inspect` can describe. */
export type Description = ModelDescription | AdapterDescription | AdaptersDescription | TensorsDescription;

/**
 * Describes a folder (model, adapter or several adapters), a GGUF file (model or adapter) or a safetensors file.
 *
 * @throws {TypeError} when there is no such thing.
 * @throws {SyntaxError | RangeError} when a file is damaged; the message names it and the position.
 * @example
 * ```ts
 * import { inspectPath } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const found = await inspectPath("embedded/model");
 * assert.equal(found.kind, "model");
 * ```
 */
export async function inspectPath(path: string): Promise<Description> {
  const found = await stat(path).catch((error) => {
    if (systemCode(error) === "ENOENT") {
      throw typeError("FILE_NOT_FOUND", `Cannot inspect "${path}": there is no such file or folder`);
    }
    throw error;
  });
  if (found.isDirectory()) return await inspectFolder(path.replace(/\/+$/, ""));
  if (path.endsWith(".gguf")) return inspectGguf(path);
  if (path.endsWith(".safetensors")) return inspectTensors(path);
  throw typeError(
    "FILE_INVALID",
    `Cannot inspect "${path}": expected a folder, a .gguf or a .safetensors file`,
  );
}

async function inspectFolder(path: string): Promise<Description> {
  const names = readdirSync(path);
  if (names.includes("config.json")) return await inspectModelFolder(path);
  const own = names.includes("adapter_config.json") ? [inspectAdapter(path)] : [];
  const below = names.sort().filter((name) => exists(`${path}/${name}/adapter_config.json`))
    .map((name) => ({ ...inspectAdapter(`${path}/${name}`), name }));
  const adapters = [...own, ...below];
  if (adapters.length === 0) {
    throw typeError(
      "FILE_NOT_FOUND",
      `Cannot inspect "${path}": it has neither config.json (a model) nor adapter_config.json (an adapter)`,
    );
  }
  return adapters.length === 1 ? adapters[0]! : { kind: "adapters", adapters };
}

function inspectGguf(path: string): Description {
  const file = openGguf(path);
  try {
    const { metadata } = file;
    if (metadata.get("general.type") === "adapter") return inspectGgufAdapter(file);
    if (metadata.has("general.architecture")) return inspectGgufModel(path, file);
    const stored = [...file.tensors.values()];
    return {
      kind: "tensors",
      format: "gguf",
      metadata: short(metadata),
      names: stored.map((t) => t.name),
      ...contents(stored),
    };
  } finally {
    file.close();
  }
}

function inspectTensors(path: string): TensorsDescription {
  const file = openSafetensors(path);
  try {
    const stored = [...file.tensors.values()];
    return {
      kind: "tensors",
      format: "safetensors",
      metadata: short(file.metadata),
      names: stored.map((t) => t.name),
      ...contents(stored),
    };
  } finally {
    file.close();
  }
}

/** Metadata without long lists and strings. */
function short(metadata: ReadonlyMap<string, unknown>): JsonObject {
  return Object.fromEntries(
    [...metadata].map(([key, value]) => [
      key,
      Array.isArray(value) && value.length > 8
        ? `${value.length} values`
        : typeof value === "string" && value.length > 200
        ? `${value.slice(0, 200)}…`
        : typeof value === "bigint"
        ? String(value)
        : value,
    ]),
  );
}
