/** `saveAdapter`: saves an adapter as a folder for HF PEFT, or a GGUF file for llama.cpp. */
import { mkdir } from "node:fs/promises";
import { type Adapter, dispose, leaves, type Model, scope, type Storage, tensorsIn } from "../core/mod.ts";
import { checkAdapterName } from "../formats/peft_keys.ts";
import { type Limit, toLora } from "../methods/mod.ts";
import type { Making } from "./adapter_card.ts";
import { saveAdaptersFolder } from "./adapterhub/save.ts";
import { saveGgufAdapter } from "./gguf_adapter.ts";
import { saveGraftAdapter } from "./graft_adapter.ts";
import { knownMethods, type OwnMethod } from "./records/known_methods.ts";
import { modulePaths } from "../methods/peft/modules.ts";
import { checkFrozen, refuseGradients } from "./partial_params.ts";
import { savePeftFolder } from "./peft/save.ts";
import { rangeError } from "../errors/error.ts";

export { refusedByPeft } from "./peft/save.ts";

/** Options of `saveAdapter`. */
export interface SaveAdapterOptions {
  /**
   * Default "gguf" for a path that ends in ".gguf", else "peft". "adapters" is AdapterHub's folder, "graft"
   * our own, which supports every method.
   */
  readonly format?: "peft" | "adapters" | "gguf" | "graft";
  /**
   * Save the adapter as plain LoRA, truncated to a rank or an error: for programs that support no other
   * method. Required for a GGUF file unless the adapter consists of low-rank products.
   */
  readonly lora?: Limit;
  /** Methods of one's own, as for loading: what is saved must load again with them. */
  readonly methods?: readonly OwnMethod[];
  /** For the model card: the licence, a hash of the training data, the command that trained it. */
  readonly card?: Making;
}

/**
 * Saves an adapter as an HF PEFT folder: `adapter_config.json`, `adapter_model.safetensors` and a model card.
 * The adapter "default" (or without a name) goes to the folder itself, others to a subfolder with their name,
 * as in PEFT. With `{ ...adapter, params: grads }` gradients are saved under the same keys.
 *
 * With "adapters" it is a folder for `adapters` 1.3, as safetensors: the adapter is in the folder itself and
 * its name in the keys. What one configuration cannot represent, such as a fusion or two adapters after one
 * part, becomes a setup of several folders.
 *
 * With "gguf" it is one file for llama.cpp's `--lora`: only LoRA on linear layers and untied tables. For a
 * folder's path the file is "adapter.gguf" in it, or has the adapter's name.
 *
 * @throws {TypeError} when a PEFT folder or a GGUF file cannot represent the method; the message says what
 * can.
 * @throws {RangeError} when parameters do not fit the model, or PEFT would lose weights under the adapter's name.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, saveAdapter, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const folder = await Deno.makeTempDir();
 * await saveAdapter(folder, adapt(model, lora({ rank: 4 })), model, { card: { licence: "apache-2.0" } });
 * const config = JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`));
 * assert.deepEqual([config.peft_type, config.r], ["LORA", 4]); // as Python PEFT reads it
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveAdapter(
  folder: string,
  adapter: Adapter,
  model: Model,
  options: SaveAdapterOptions = {},
): Promise<void> {
  checkUsed(adapter, model);
  const format = options.format ?? (folder.endsWith(".gguf") ? "gguf" : "peft");
  switch (format) {
    case "gguf":
      checkFrozen(adapter, model, "as GGUF");
      if (options.lora !== undefined) refuseGradients(adapter, "plain LoRA");
      return await saveGgufAdapter(await ggufPath(folder, adapter), adapter, model, options.lora);
    case "peft":
    case "adapters":
    case "graft":
      break;
    default:
      throw rangeError(
        "INVALID_ARGUMENT",
        `Cannot save an adapter as "${format satisfies never}": known are "peft", "adapters", "gguf" and "graft"`,
      );
  }
  if (options.lora !== undefined) {
    const { lora, ...rest } = options;
    checkFrozen(adapter, model, "as plain LoRA");
    refuseGradients(adapter, "plain LoRA");
    const cut = await toLora(model, adapter, lora);
    try {
      return await saveAdapter(folder, cut.adapter, model, rest);
    } finally {
      dispose(cut.adapter.params);
    }
  }
  if (format !== "peft") {
    checkFrozen(adapter, model, format === "graft" ? "in our own form" : "for AdapterHub");
  }
  if (format === "adapters") return await saveAdaptersFolder(folder, adapter, model);
  const name = adapter.name ?? "default";
  const target = name === "default" ? folder : `${folder.replace(/\/+$/, "")}/${name}`;
  if (format === "graft") {
    if (name !== "default") checkAdapterName(name, modulePaths(model));
    return await saveGraftAdapter(target, adapter, model, options.card, knownMethods(options.methods));
  }
  await savePeftFolder(target, adapter, model, options.card);
}

/**
 * @throws {RangeError} when a parameter has no effect, as where `at` narrows a trained adapter: loading the
 * folder would reactivate it.
 */
function checkUsed({ method, params }: Adapter, { spec }: Model): void {
  let used: ReadonlySet<Storage>;
  try {
    used = scope(() => new Set(tensorsIn(method.edits(params, spec)).map(({ storage }) => storage)));
  } catch {
    return; // gradients lack untrained parameters; other errors have their own messages
  }
  const idle = leaves(params).find(([, t]) => t.size > 0 && !used.has(t.storage));
  if (idle === undefined) return;
  throw rangeError(
    "CANNOT_SAVE",
    `Cannot save ${method.name}, of which something narrowed the places: its parameter "${
      idle[0]
    }" is in no edit and ` +
      "would be again in one when loaded; save only the parameters that are",
  );
}

/** The file itself, or one in a folder. */
async function ggufPath(path: string, { name = "default" }: Adapter): Promise<string> {
  if (path.endsWith(".gguf")) return path;
  await mkdir(path, { recursive: true });
  return `${path.replace(/\/+$/, "")}/${name === "default" ? "adapter" : name}.gguf`;
}
