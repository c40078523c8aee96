/** Saves adapters to folders that HF PEFT reads. */
import { mkdir } from "node:fs/promises";
import {
  type Adapter,
  areGradients,
  FROZEN,
  leaves,
  lookup,
  type Model,
  sameShape,
  showShape,
  Tensor,
  trainable,
  weightLeaves,
} from "../../core/mod.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { peftConfigText } from "../../formats/peft_config.ts";
import { checkAdapterName, PEFT_FILES } from "../../formats/peft_keys.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import type { PeftFields } from "../../methods/peft/codec.ts";
import type { HeldFolders } from "../../methods/peft/form.ts";
import { modulePaths } from "../../methods/peft/modules.ts";
import { adapterCard, type Making } from "../adapter_card.ts";
import { fromOutside } from "./held_folders.ts";
import { type FolderLayout, folderLayout } from "./layout.ts";
import { heldFolders } from "./options.ts";
import { type AdapterParts, leftOver, partsOfAdapter } from "./parts.ts";
import { withoutNetworks } from "./networks.ts";
import { configOf } from "./saved_config.ts";
import { adapterTensors, tableTensors } from "./tensors.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Writes config, weights and a model card into a folder. Soft prompts' networks are evaluated first: PEFT
 * stores their results.
 *
 * @throws {TypeError} when a PEFT folder cannot contain the method.
 * @throws {RangeError} when parameters do not fit the model, or PEFT would lose weights under the adapter's name.
 */
export async function savePeftFolder(
  folder: string,
  adapter: Adapter,
  model: Model,
  about?: Making,
): Promise<void> {
  const kept = withoutNetworks(adapter, model);
  try {
    const { name = "default" } = adapter;
    if (name !== "default") checkName(name, kept.adapter, model);
    await saveParts(folder, kept.adapter, model, about);
  } finally {
    kept.dispose();
  }
}

/** PEFT may lose weights under names that occur in the model, or in the keys of this very method. */
function checkName(name: string, adapter: Adapter, model: Model): void {
  const { type, tensors } = peftContent(adapter, model);
  checkAdapterName(name, modulePaths(model), { type, keys: tensors.map((t) => t.name) });
}

async function saveParts(
  target: string,
  adapter: Adapter,
  model: Model,
  about: Making | undefined,
): Promise<void> {
  const { described, type, fields: relative, tensors, held } = peftContent(adapter, model);
  const fields = held === undefined ? relative : fromOutside(relative, held, target);
  for (const [name, one] of Object.entries(held?.of(adapter.method, adapter.params) ?? {})) {
    if (leaves(one.params).length > 0) await saveParts(`${target}/${held!.folder(name)}`, one, model, about);
  }
  await mkdir(target, { recursive: true });
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

/** The content of an adapter's PEFT folder. */
function peftContent(adapter: Adapter, model: Model): {
  readonly described: AdapterParts;
  readonly type: string;
  readonly fields: PeftFields;
  readonly tensors: readonly WritableTensor[];
  readonly held?: HeldFolders;
} {
  const described = partsOfAdapter(adapter, model);
  const layout = folderLayout(described.parts, model, adapter.name, described.names);
  const { type, fields } = configOf(described, model);
  const held = heldFolders({ type, fields });
  const root = held?.without(adapter) ?? adapter;
  checkParams(root, layout);
  const tensors = [...adapterTensors(root, layout, model), ...tableTensors(root, described, fields, model)];
  return { described, type, fields, tensors, ...held && { held } };
}

/**
 * Why a PEFT folder cannot contain an adapter; undefined where it can. Writes nothing.
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

/** Checks that every tensor of the folder has a parameter, and every parameter a tensor. */
function checkParams({ method, params }: Adapter, { tensors }: FolderLayout): void {
  for (const { path, shape, zeros, factor } of tensors) {
    if (zeros) continue;
    if (factor !== undefined && areGradients(params)) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save the gradients of ${method.name} for PEFT: there "${path}" has a factor of ${factor} in it`,
      );
    }
    const found = lookup(params, path);
    if (found === undefined && isFrozen(path)) continue; // gradients have none
    if (!(found instanceof Tensor)) {
      throw rangeError("CANNOT_SAVE", `Cannot save ${method.name}: it has no parameter "${path}"`);
    }
    if (!sameShape(found.shape, shape)) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save ${method.name}: ${path}: expected ${showShape(shape)} but found ${
          showShape(found.shape)
        }`,
      );
    }
  }
  const extra = leftOver(params, tensors.map((t) => t.path));
  if (extra.length > 0) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save ${method.name}: a PEFT folder has no place for "${extra.join('", "')}"`,
    );
  }
}

const isFrozen = (path: string): boolean => path.split(".").includes(FROZEN);
