/** `loadAdapter`: an adapter from a folder or a GGUF file. */
import { type Adapter, dispose, heed, type Model } from "../core/mod.ts";
import { adapterFolder, isThere, localFolder, weightsPath } from "./adapter_folder.ts";
import { isAdaptersFolder, loadAdaptersFolder } from "./adapterhub/load.ts";
import { loadGgufAdapter } from "./gguf_adapter.ts";
import { graftRecord, loadGraftAdapter } from "./graft_adapter.ts";
import { knownMethods, type OwnMethod } from "./records/known_methods.ts";
import { checkReplication } from "./layer_replication.ts";
import { type NamedFolderOptions, realPath } from "./named_folder.ts";
import { loadPeftFolder } from "./peft/load.ts";
import { rangeError } from "../errors/error.ts";

/** Which adapter of a folder, and what its files may name. */
export interface LoadAdapterOptions extends NamedFolderOptions {
  /** The one in the subfolder of this name; default the one at the root. */
  readonly name?: string;
  /** Methods of one's own that the folder may be of. */
  readonly methods?: readonly OwnMethod[];
  /** Ends a download, or the loading between an adapter and those that it holds: the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Loads an adapter for a model from an HF PEFT folder: matrix methods, (IA)³, norms, soft prompts and
 * trainable tokens, along with saved modules and token rows. Parameters are f32 and owned by the caller:
 * `keep` or dispose them.
 *
 * Loading is strict. The base's name in the folder is not compared, since a base has many names; shapes are.
 *
 * AdapterHub folders (`adapters` 1.3, safetensors) are recognized by their config: one adapter with its head,
 * a fusion, or a setup.
 *
 * An adapter of replicated layers (PEFT's `layer_replication`) is for `replicateLayers(base, …)`;
 * `modelOfAdapter` of `io` creates that model.
 *
 * A GGUF file holds LoRA for llama.cpp, and is loaded as LoRA.
 *
 * Folders that an adapter's own files name (X-LoRA's experts, the adapters of a setup) must lie inside its folder unless
 * `outsideFolders` allows others.
 *
 * @param source A folder, a `.gguf` file, or a hub id.
 * @throws {RangeError} when a key is missing, unexpected or of the wrong shape, when targets match nothing,
 * or when the config requires something unsupported; the message names it.
 * @throws {TypeError} when there are only pickled weights, which are never read.
 * @throws the signal's reason when it is aborted; what was loaded is freed.
 * @example
 * ```ts
 * import { adapt, freshModel, loadAdapter, lora, reference, saveAdapter, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const folder = await Deno.makeTempDir();
 * await saveAdapter(folder, adapt(model, lora({ rank: 4 })), model);
 * const { method, params } = await loadAdapter(folder, model);
 * assert.equal(method.name, "lora");
 * assert.deepEqual(Object.keys(params), ["model"]); // under the weights' own paths
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function loadAdapter(
  source: string,
  model: Model,
  options: LoadAdapterOptions = {},
): Promise<Adapter> {
  const { signal } = options;
  signal?.throwIfAborted();
  const adapter = await loadWithin(source, model, options, []);
  await heed(signal).catch((reason) => (dispose(adapter.params), Promise.reject(reason)));
  return adapter;
}

/** @param around The folders whose expert this is, without links, the outermost first. */
async function loadWithin(
  source: string,
  model: Model,
  options: LoadAdapterOptions,
  around: readonly string[],
): Promise<Adapter> {
  if (source.endsWith(".gguf") && await isThere(source)) return ggufAdapter(source, model, options);
  const { signal } = options;
  await heed(signal);
  const root = await localFolder(source, options.name, signal);
  if (await isAdaptersFolder(root)) return await hubAdapter(root, model, options);
  const { folder, name } = await adapterFolder(root, options.name);
  if (folder !== root && await isAdaptersFolder(folder)) {
    return await loadAdaptersFolder(folder, model, options);
  }
  await checkReplication(folder, model);
  const own = await graftRecord(folder);
  if (own !== undefined) {
    await weightsPath(folder);
    return await loadGraftAdapter(folder, own, model, name, knownMethods(options.methods));
  }
  const { outsideFolders = false, methods = [] } = options;
  const chain = [...around, await realPath(folder) ?? folder];
  const expert = async (path: string, model: Model, what: string): Promise<Adapter> => {
    if (chain.includes(await realPath(path) ?? path)) {
      throw rangeError(
        "ADAPTER_UNSUPPORTED",
        `Cannot load ${what}: "${path}" is a folder that it lies in, and so holds itself`,
      );
    }
    return await loadWithin(path, model, { outsideFolders, methods, ...signal && { signal } }, chain);
  };
  return await loadPeftFolder(folder, name, model, expert, { outsideFolders });
}

/** An AdapterHub folder: its own adapter, or one of its folders. */
async function hubAdapter(root: string, model: Model, options: LoadAdapterOptions): Promise<Adapter> {
  const { name } = options;
  if (name === undefined || name === "default") return await loadAdaptersFolder(root, model, options);
  if (await isAdaptersFolder(`${root}/${name}`)) {
    return await loadAdaptersFolder(`${root}/${name}`, model, options);
  }
  const own = await loadAdaptersFolder(root, model, options);
  if (own.name === name) return own;
  dispose(own.params);
  throw rangeError(
    "ADAPTER_NOT_FOUND",
    `Cannot load the adapter "${name}" from "${root}": it holds "${own.name}"`,
  );
}

/** A file holds one adapter, without a name. */
function ggufAdapter(path: string, model: Model, { name = "default" }: LoadAdapterOptions): Adapter {
  if (name === "default") return loadGgufAdapter(path, model);
  throw rangeError(
    "ADAPTER_NOT_FOUND",
    `Cannot load the adapter "${name}" from "${path}": a GGUF file holds one, without a name`,
  );
}
