/** `saveAdapter`: an adapter into a folder that HF PEFT reads, or a GGUF file that llama.cpp does. */
import {
  type Adapter,
  dispose,
  FROZEN,
  leaves,
  lookup,
  type MatrixPlace,
  type Model,
  nameMatches,
  sameShape,
  showShape,
  Tensor,
  trainable,
  weightLeaves,
} from "../core/mod.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { peftConfigText } from "../formats/peft_config.ts";
import { checkAdapterName, PEFT_FILES } from "../formats/peft_keys.ts";
import { writeSafetensors } from "../formats/safetensors_write.ts";
import type { WritableTensor } from "../formats/tensor_file.ts";
import type { PeftFields } from "../methods/peft_codec.ts";
import { type Limit, toLora } from "../methods/to_lora.ts";
import { tokenRows } from "../methods/trainable_tokens.ts";
import { taskType } from "../models/mod.ts";
import { adapterCard, type Making } from "./adapter_card.ts";
import { saveAdaptersFolder } from "./adapters_save.ts";
import { saveGgufAdapter } from "./gguf_adapter.ts";
import { saveGraftAdapter } from "./graft_adapter.ts";
import { withoutNetworks } from "./peft_prompts.ts";
import { expertPaths, expertsOf, withoutExperts } from "./peft_xlora.ts";
import {
  type FolderLayout,
  folderLayout,
  modulePaths,
  modulesEndingWith,
  modulesNamed,
  outermost,
} from "./peft_layout.ts";
import { type AdapterParts, leftOver, partsOfAdapter } from "./peft_parts.ts";
import { adapterTensors, tableTensors } from "./peft_tensors.ts";

/** How to save an adapter. */
export interface SaveAdapterOptions {
  /**
   * Default "gguf" for a path that ends in ".gguf", else "peft". "adapters" is AdapterHub's folder, "graft" our own, for every
   * method.
   */
  readonly format?: "peft" | "adapters" | "gguf" | "graft";
  /**
   * Save what remains of the adapter as plain LoRA, cut to a rank or an error: for programs that know no other method. A
   * GGUF file needs it unless the adapter is made of low-rank products.
   */
  readonly lora?: Limit;
  /** For the model card: the licence, a hash of the training data, the command that trained it. */
  readonly card?: Making;
}

/**
 * Saves an adapter as an HF PEFT folder: `adapter_config.json`, `adapter_model.safetensors` and a model card. The adapter
 * "default" (or without a name) goes to the folder itself, another into the subfolder of its name, as PEFT does it. With
 * `{ ...adapter, params: grads }` gradients are saved under the same keys.
 *
 * As AdapterHub's it is a folder for `adapters` 1.3, as safetensors: the adapter lies in the folder itself and its name in the
 * keys. What one configuration cannot hold, a fusion or two adapters behind one part, becomes a setup of several folders.
 *
 * As GGUF it is one file for llama.cpp's `--lora`: LoRA on linear layers and on untied tables, nothing else. For a folder's path
 * that is "adapter.gguf" in it, or the adapter's name.
 *
 * @throws {TypeError} when a PEFT folder or a GGUF file cannot hold the method; the message says what can.
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
  const format = options.format ?? (folder.endsWith(".gguf") ? "gguf" : "peft");
  switch (format) {
    case "gguf":
      return await saveGgufAdapter(await ggufPath(folder, adapter), adapter, model, options.lora);
    case "peft":
    case "adapters":
    case "graft":
      break;
    default:
      throw new RangeError(
        `Cannot save an adapter as "${format satisfies never}": known are "peft", "adapters", "gguf" and "graft"`,
      );
  }
  if (options.lora !== undefined) {
    const { lora, ...rest } = options;
    const cut = await toLora(model, adapter, lora);
    try {
      return await saveAdapter(folder, cut.adapter, model, rest);
    } finally {
      dispose(cut.adapter.params);
    }
  }
  if (format === "adapters") return await saveAdaptersFolder(folder, adapter, model);
  const name = adapter.name ?? "default";
  const target = name === "default" ? folder : `${folder.replace(/\/+$/, "")}/${name}`;
  if (format === "graft") {
    if (name !== "default") checkAdapterName(name, modulePaths(model));
    return await saveGraftAdapter(target, adapter, model, options.card);
  }
  const kept = withoutNetworks(adapter, model);
  try {
    if (name !== "default") checkName(name, kept.adapter, model);
    await savePeftFolder(target, kept.adapter, model, options.card);
  } finally {
    kept.dispose();
  }
}

/** PEFT may lose weights under names that occur in the model, or in the keys of this very method. */
function checkName(name: string, adapter: Adapter, model: Model): void {
  const { type, tensors } = peftContent(adapter, model);
  checkAdapterName(name, modulePaths(model), { type, keys: tensors.map((t) => t.name) });
}

async function savePeftFolder(
  target: string,
  adapter: Adapter,
  model: Model,
  about: SaveAdapterOptions["card"],
): Promise<void> {
  const { described, type, fields: relative, tensors } = peftContent(adapter, model);
  const fields = type === "XLORA" ? expertPaths(relative, target) : relative;
  if (type === "XLORA") {
    for (const [name, expert] of Object.entries(expertsOf(adapter.method.config, adapter.params))) {
      if (leaves(expert.params).length > 0) {
        await savePeftFolder(`${target}/experts/${name}`, expert, model, about);
      }
    }
  }
  await Deno.mkdir(target, { recursive: true });
  await writeSafetensors(`${target}/${PEFT_FILES.weights}`, tensors);
  await writeTextAtomically(`${target}/${PEFT_FILES.config}`, peftConfigText(type, fields));
  const count = (list: readonly (readonly [string, Tensor])[]): number =>
    list.reduce((n, [, t]) => n + t.size, 0);
  const card = adapterCard({
    base: model.source,
    method: adapter.method.name,
    type,
    trained: count(leaves(trainable(adapter.params))),
    ofBase: count(weightLeaves(model.weights)),
    layers: described.parts.main?.places.length ?? 0,
    ...about,
  });
  await writeTextAtomically(`${target}/README.md`, card);
}

/** What a PEFT folder of an adapter would hold. */
function peftContent(adapter: Adapter, model: Model): {
  readonly described: AdapterParts;
  readonly type: string;
  readonly fields: PeftFields;
  readonly tensors: readonly WritableTensor[];
} {
  const described = partsOfAdapter(adapter, model);
  const layout = folderLayout(described.parts, model, adapter.name, described.names);
  const { type, fields } = configOf(described, model);
  const root = type === "XLORA" ? withoutExperts(adapter) : adapter;
  checkParams(root, layout);
  const tensors = [...adapterTensors(root, layout, model), ...tableTensors(root, described, fields, model)];
  return { described, type, fields, tensors };
}

/**
 * Why a PEFT folder cannot hold an adapter; undefined where it can. Writes nothing.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, houlsby, lora, reference, smallConfig } from "@graft/peft";
 * import { refusedByPeft } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(refusedByPeft(adapt(model, lora()), model), undefined);
 * assert.match(refusedByPeft(adapt(model, houlsby({ reduction: 4 })), model)!, /houlsby/);
 * ```
 */
export function refusedByPeft(adapter: Adapter, model: Model): string | undefined {
  const kept = withoutNetworks(adapter, model);
  try {
    peftContent(kept.adapter, model);
    return undefined;
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return error.message;
    throw error;
  } finally {
    kept.dispose();
  }
}

/** The file itself, or one in a folder. */
async function ggufPath(path: string, { name = "default" }: Adapter): Promise<string> {
  if (path.endsWith(".gguf")) return path;
  await Deno.mkdir(path, { recursive: true });
  return `${path.replace(/\/+$/, "")}/${name === "default" ? "adapter" : name}.gguf`;
}

/** Every tensor of the folder has its parameter, and every parameter its tensor. */
function checkParams({ method, params }: Adapter, { tensors }: FolderLayout): void {
  for (const { path, shape } of tensors) {
    const found = lookup(params, path);
    if (found === undefined && isFrozen(path)) continue; // gradients have none
    if (!(found instanceof Tensor)) {
      throw new RangeError(`Cannot save ${method.name}: it has no parameter "${path}"`);
    }
    if (!sameShape(found.shape, shape)) {
      throw new RangeError(
        `Cannot save ${method.name}: ${path}: expected ${showShape(shape)} but found ${
          showShape(found.shape)
        }`,
      );
    }
  }
  const extra = leftOver(params, tensors.map((t) => t.path));
  if (extra.length > 0) {
    throw new RangeError(
      `Cannot save ${method.name}: a PEFT folder has no place for "${extra.join('", "')}"`,
    );
  }
}

function configOf(
  { parts, targets }: AdapterParts,
  model: Model,
): { readonly type: string; readonly fields: PeftFields } {
  const { main, biases, saved, tokens, fixed = [] } = parts;
  const common = {
    base_model_name_or_path: model.source ?? null,
    task_type: taskType(model),
  };
  if (main === undefined) {
    if (tokens === undefined || saved !== undefined) {
      throw new TypeError("Cannot save whole modules alone as a PEFT folder: merge them and save the model");
    }
    const rows = tokenRows(model.spec, tokens);
    if (rows.some(({ ids }) => ids.join() !== rows[0]!.ids.join())) {
      throw new RangeError(
        "Cannot save trainable tokens alone with other ids for each table: PEFT has one list",
      );
    }
    return {
      type: "TRAINABLE_TOKENS",
      fields: {
        ...common,
        init_weights: true,
        target_modules: rows.map(({ place }) => place.path),
        token_indices: rows[0]!.ids,
      },
    };
  }
  const follows = model.spec.heads.some((head) =>
    head.tiedTo !== undefined && !fixed.includes(`${head.path}.weight`) && saved !== undefined &&
    savedAlone(saved.modules, head.tiedTo, head.path)
  );
  if (follows && main.type !== "LORA") {
    throw new RangeError(
      `Cannot save the tied embedding beside ${main.type}: PEFT unties it there; save both tables`,
    );
  }
  const modules = saved === undefined ? null : namesForPeft(saved.modules, model);
  checkOverlap(main.places, modules ?? []);
  return {
    type: main.type,
    fields: {
      ...common,
      ...main.fields,
      ...targets,
      ...biases && { bias: biases === "all" ? "all" : main.biases! },
      ...(modules !== null || Object.hasOwn(main.fields, "modules_to_save")) && { modules_to_save: modules },
      ...main.type === "LORA" && {
        trainable_token_indices: tokens === undefined ? null : tokens.tokens,
        ensure_weight_tying: follows,
      },
    },
  };
}

/** Names that choose the same modules in PEFT, none of them inside another: that it could not load. */
function namesForPeft(names: readonly string[], model: Model): readonly string[] {
  const all = modulesNamed(names, model);
  const outer = all.filter((path) => outermost(all, path) === path);
  const short = names.filter((name) => outer.some((path) => nameMatches(name, path)));
  return modulesEndingWith(short, model).length === outer.length ? short : outer;
}

/** PEFT never adapts a layer inside a saved module. */
function checkOverlap(places: readonly MatrixPlace[], modules: readonly string[]): void {
  const inside = places.find(({ path }) =>
    modules.some((name) => new RegExp(`^(.*\\.)?${RegExp.escape(name)}(\\..*)?$`).test(path))
  );
  if (inside !== undefined) {
    throw new RangeError(
      `Cannot save this adapter for PEFT: "${inside.path}" is adapted and lies in a saved module; exclude it from the targets`,
    );
  }
}

const savedAlone = (modules: readonly string[], one: string, other: string): boolean => {
  const named = (path: string): boolean => modules.some((name) => path === name || path.endsWith(`.${name}`));
  return named(one) && !named(other);
};

const isFrozen = (path: string): boolean => path.split(".").includes(FROZEN);
