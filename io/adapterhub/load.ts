/** Adapters from AdapterHub folders: one adapter with its head, or a setup of several. */
import { readFile } from "node:fs/promises";
import { type Adapter, compose, dispose, type Model, perRow, type Tree } from "../../core/mod.ts";
import {
  ADAPTERS_FILES,
  type AdaptersFolder,
  isAdaptersConfig,
  readAdaptersConfig,
} from "../../formats/adapters_config.ts";
import { parseJson } from "../../formats/strict_json.ts";
import { isThere } from "../adapter_folder.ts";
import type { NamedFolderOptions } from "../named_folder.ts";
import { type LoadedHead, loadHead } from "./head.ts";
import { whole } from "../../methods/adapterhub/layout.ts";
import { asTrained, partsOf } from "./parts.ts";
import { readParams, withTensors } from "./read.ts";
import { loadFusion } from "./fusion.ts";
import type { LoadedFolder, LoadedSetup } from "./loaded.ts";
import { loadSetup } from "./setup.ts";
import { rangeError } from "../../errors/error.ts";

/** Whether a folder is AdapterHub's. */
export async function isAdaptersFolder(folder: string): Promise<boolean> {
  if (await isThere(`${folder}/${ADAPTERS_FILES.setup}`)) return true;
  if (await isThere(`${folder}/${ADAPTERS_FILES.fusionConfig}`)) return true;
  const path = `${folder}/${ADAPTERS_FILES.config}`;
  return await isThere(path) && isAdaptersConfig(parseJson(path, await readFile(path)));
}

/**
 * Loads an AdapterHub folder. A head that comes with the adapter and differs from the model's is part of the
 * result.
 *
 * @throws {RangeError} when a key or a field does not fit the model or is unknown; the message names it.
 * @throws {TypeError} when there are only pickled weights.
 */
export async function loadAdaptersFolder(
  folder: string,
  model: Model,
  options: NamedFolderOptions,
): Promise<Adapter> {
  const load = (path: string): Promise<LoadedFolder> => loadOne(path, model);
  const loaded: LoadedSetup = await isThere(`${folder}/${ADAPTERS_FILES.setup}`)
    ? await loadSetup(folder, model, load, options)
    : await isThere(`${folder}/${ADAPTERS_FILES.fusionConfig}`)
    ? await loadFusion(folder, model, load, options)
    : { adapter: (await load(folder)).adapter, headFolder: folder };
  const held: Tree[] = [loaded.adapter.params];
  try {
    const { adapter, headFolder, branchHeads } = loaded;
    if (branchHeads === undefined) {
      const head = await loadHead(headFolder, model);
      return head === undefined ? adapter : withHead(adapter, head);
    }
    const heads = new Map<string, LoadedHead>();
    for (const [name, where] of Object.entries(branchHeads)) {
      const head = await loadHead(where, model);
      if (head === undefined) continue;
      held.push(head.params);
      heads.set(name, head);
    }
    return heads.size === 0 ? adapter : withBranchHeads(adapter, heads);
  } catch (error) {
    dispose(held);
    throw error;
  }
}

async function loadOne(path: string, model: Model): Promise<LoadedFolder> {
  const where = `${path}/${ADAPTERS_FILES.config}`;
  const folder = asTrained(readAdaptersConfig(where, await readFile(where)));
  checkModel(where, folder, model);
  return await withTensors(path, ADAPTERS_FILES.weights, ADAPTERS_FILES.pickle, (stored) => {
    const parts = folder.configs.flatMap((config) => partsOf(config, model, folder, stored));
    if (parts.length === 0) {
      throw rangeError("FILE_INVALID", `Cannot load "${path}": its config places no adapter anywhere`);
    }
    const { method, reads } = whole(parts);
    const params = readParams(path, reads, stored, model);
    return { adapter: { name: folder.name, method, params }, folder, parts };
  });
}

/** @throws {RangeError} when the folder is for another kind of model. */
function checkModel(where: string, { modelType, hiddenSize }: AdaptersFolder, model: Model): void {
  if (modelType !== model.config.model_type) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot load ${where}: it is for a ${modelType}, but the model is a ${model.config.model_type}`,
    );
  }
  const { width } = model.spec.stacks[0]!;
  if (hiddenSize !== undefined && hiddenSize !== width) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot load ${where}: it is for a width of ${hiddenSize}, but the model has ${width}`,
    );
  }
}

function withHead(adapter: Adapter, head: LoadedHead): Adapter {
  return {
    ...adapter,
    // The head first: an invertible adapter's inverse, which is applied before the head, must see the new one.
    method: compose({ head: head.method, adapter: adapter.method }),
    params: { head: head.params, adapter: adapter.params },
  };
}

/** A head for the rows of each branch. */
function withBranchHeads(adapter: Adapter, heads: ReadonlyMap<string, LoadedHead>): Adapter {
  const rows = perRow(
    Object.fromEntries([...heads].map(([name, head]) => [name, head])),
  );
  return withHead(adapter, { method: rows.method, params: rows.params });
}
