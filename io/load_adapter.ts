/** `loadAdapter`: an adapter from a folder or a GGUF file. */
import {
  type Adapter,
  dispose,
  lookup,
  type MatrixPlace,
  type Model,
  nest,
  reinterpret,
  sameShape,
  scope,
  type Shape,
  showShape,
  size,
  type Synchronous,
  Tensor,
  trainableCopy,
  type Tree,
} from "../core/mod.ts";
import { slice, transpose } from "../ops/mod.ts";
import type { PeftTensor } from "../methods/peft_codec.ts";
import { type PeftConfig, readPeftConfig } from "../formats/peft_config.ts";
import { PEFT_FILES, withoutPrefix } from "../formats/peft_keys.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import type { StoredTensor } from "../formats/tensor_file.ts";
import { adapterFolder, isThere, localFolder, weightsPath } from "./adapter_folder.ts";
import { isAdaptersFolder, loadAdaptersFolder } from "./adapters_load.ts";
import { loadGgufAdapter } from "./gguf_adapter.ts";
import { graftRecord, loadGraftAdapter } from "./graft_adapter.ts";
import { baseTables } from "./peft_base.ts";
import { changedLayers, codedWeights, doubledFactors } from "./peft_changed_base.ts";
import { type FolderLayout, folderLayout, type FolderParts, PARTS } from "./peft_layout.ts";
import { asStored, partsOfConfig } from "./peft_options.ts";
import { loadTensor, sameNumbers } from "./stored_numbers.ts";
import { checkRouter, expertFolders, type Experts, withExperts } from "./peft_xlora.ts";

/** Which adapter of a folder. */
export interface LoadAdapterOptions {
  /** The one in the subfolder of this name; default the one at the root. */
  readonly name?: string;
}

/**
 * Loads an adapter for a model from an HF PEFT folder: matrix methods, (IA)³, norms, soft prompts and trainable tokens, with saved
 * modules and token rows beside them. Parameters are f32 and owned by the caller: `keep` or dispose them.
 *
 * Loading is strict. The base's name in the folder is not compared, since a base has many names; shapes are.
 *
 * AdapterHub folders (`adapters` 1.3, safetensors) are told by their config: one adapter with its head, a fusion, or a setup.
 *
 * A GGUF file holds LoRA for llama.cpp, and loads as that.
 *
 * @param source A folder, a `.gguf` file, or a hub id.
 * @throws {RangeError} when a key is missing, unexpected or of the wrong shape, when targets match nothing, or when the
 * config asks for something that is not supported; the message names it.
 * @throws {TypeError} when there are only pickled weights, which are never read.
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
  if (source.endsWith(".gguf") && await isThere(source)) return ggufAdapter(source, model, options);
  const root = await localFolder(source, options.name);
  if (await isAdaptersFolder(root)) return await hubAdapter(root, model, options);
  const { folder, name } = await adapterFolder(root, options.name);
  if (folder !== root && await isAdaptersFolder(folder)) return await loadAdaptersFolder(folder, model);
  const own = await graftRecord(folder);
  if (own !== undefined) {
    await weightsPath(folder);
    return await loadGraftAdapter(folder, own, model, name);
  }
  const configPath = `${folder}/${PEFT_FILES.config}`;
  const config = readPeftConfig(configPath, await Deno.readFile(configPath));
  const experts = config.type === "XLORA" ? await loadExperts(folder, config, model) : {};
  try {
    return await loadParts(folder, name, config, experts, model);
  } catch (error) {
    dispose(experts);
    throw error;
  }
}

async function loadParts(
  folder: string,
  name: string,
  config: PeftConfig,
  experts: Experts,
  model: Model,
): Promise<Adapter> {
  const file = openSafetensors(await weightsPath(folder));
  try {
    const parts = partsOfConfig(asStored(config, file.tensors.values()), model, experts);
    const stored = new Map([...file.tensors.values()].map((t) => [withoutPrefix(t.name), t]));
    if (stored.size < file.tensors.size) {
      throw new RangeError(
        `${folder}: a key stands in the file with and without the prefix "base_model.model."`,
      );
    }
    const expected = folderLayout(parts, model, name);
    const tables = baseTables(parts, model);
    if (config.type === "XLORA") checkRouter(folder, parts, stored);
    checkKeys(folder, config, expected, tables, stored);
    await checkCopies(expected, stored, model);
    await checkShared(parts, stored, model);
    const base = await changedTables(tables, stored, model);
    const changed = parts.main?.changed;
    const layers = changed === undefined
      ? []
      : changedLayers(changed, ({ path }) => stored.has(`${path}.base_layer.weight`), model);
    const codes = changed === undefined
      ? new Map<string, Tensor>()
      : await codedWeights(changed, layers, model);
    const all = {
      ...parts,
      fixed: [...base.keys(), ...codes.keys(), ...(parts.fixed ?? []).filter((path) => !base.has(path))],
    };
    const layout = folderLayout(all, model, name);
    const fixed = (path: string): Tensor => codes.get(path) ?? fixedTable(base, path, model);
    const params = paramsOf(layout, all.fixed, fixed, stored, model);
    const taken = layers.filter(({ place }) => !codes.has(`${place.path}.weight`));
    if (changed !== undefined && taken.length > 0) {
      const main = { ...parts.main!, method: changed.method(taken) };
      const at = ({ path }: MatrixPlace): string =>
        layout.tensors.find(({ key }) => key === `${path}.lora_A.weight`)!.path.replace(/\.a$/, "");
      const doubled = await doubledFactors(params, changed, taken, at, model);
      return { name, method: folderLayout({ ...all, main }, model, name).method, params: doubled };
    }
    return {
      name,
      method: layout.method,
      params: config.type === "XLORA" ? withExperts(config, params, experts) : params,
    };
  } finally {
    file.close();
  }
}

/** X-LoRA's experts, each from the first of its places that is there. */
async function loadExperts(folder: string, config: PeftConfig, model: Model): Promise<Experts> {
  const experts: Record<string, Adapter> = {};
  try {
    for (const [name, places] of expertFolders(folder, config)) {
      const found = await Promise.all(places.map(isThere));
      experts[name] = await loadAdapter(places[Math.max(found.indexOf(true), 0)]!, model);
    }
    return experts;
  } catch (error) {
    dispose(experts);
    throw error;
  }
}

/** An AdapterHub folder: its own adapter, or one of its folders. */
async function hubAdapter(root: string, model: Model, { name }: LoadAdapterOptions): Promise<Adapter> {
  if (name === undefined || name === "default") return await loadAdaptersFolder(root, model);
  if (await isAdaptersFolder(`${root}/${name}`)) return await loadAdaptersFolder(`${root}/${name}`, model);
  const own = await loadAdaptersFolder(root, model);
  if (own.name === name) return own;
  dispose(own.params);
  throw new RangeError(`Cannot load the adapter "${name}" from "${root}": it holds "${own.name}"`);
}

/** A file holds one adapter, without a name. */
function ggufAdapter(path: string, model: Model, { name = "default" }: LoadAdapterOptions): Adapter {
  if (name === "default") return loadGgufAdapter(path, model);
  throw new RangeError(
    `Cannot load the adapter "${name}" from "${path}": a GGUF file holds one, without a name`,
  );
}

type Stored = ReadonlyMap<string, StoredTensor>;
type Tables = ReturnType<typeof baseTables>;

/** Every expected key is there with its shape, and no other. */
function checkKeys(
  folder: string,
  { fields }: PeftConfig,
  layout: FolderLayout,
  tables: Tables,
  stored: Stored,
): void {
  const shapes = new Map<string, Shape>(layout.tensors.map((t) => [t.key, t.stored ?? t.shape]));
  const optional = new Map<string, Shape>([
    ...layout.copies.map(({ key, of }) => [key, shapes.get(of)!] as const),
    ...layout.originals.map(({ key, leaf }) => [key, shapes.get(leaf)!] as const),
    ...tables.map(({ key, shape }) => [key, shape] as const),
  ]);
  const problems = [
    ...[...shapes.keys()].filter((key) => !stored.has(key)).map((key) => `"${key}" is missing`),
    ...[...stored.values()].flatMap(({ name, shape }) => {
      const expected = shapes.get(withoutPrefix(name)) ?? optional.get(withoutPrefix(name));
      if (expected === undefined) return [`"${name}" is not expected`];
      return sameShape(shape, expected)
        ? []
        : [`"${name}": expected ${showShape(expected)} but found ${showShape(shape)}`];
    }),
  ];
  if (problems.length === 0) return;
  const base = fields["base_model_name_or_path"];
  throw new RangeError(
    `Cannot load "${folder}" for this model (its base was ${base ?? "not recorded"}): ${
      problems.slice(0, 6).join("; ")
    }${problems.length > 6 ? `; and ${problems.length - 6} more` : ""}`,
  );
}

/** A tied tensor that is stored twice must be the same twice. */
async function checkCopies(layout: FolderLayout, stored: Stored, model: Model): Promise<void> {
  for (const { key, of } of layout.copies) {
    const copy = stored.get(key);
    if (
      copy !== undefined && !await sameNumbers(loadTensor(copy, model), loadTensor(stored.get(of)!, model))
    ) {
      throw new RangeError(
        `"${key}" differs from "${of}", but the model ties the two: load the adapter for an untied model`,
      );
    }
  }
}

/**
 * PEFT has LoRA's factors of an embedding and of the head tied to it in one storage, and writes both. They load as factors of
 * their own, of which its own reload would lose one where they differ.
 */
async function checkShared({ shared = [] }: FolderParts, stored: Stored, model: Model): Promise<void> {
  for (const [embedding, head] of shared) {
    for (
      const [one, other] of [
        [`${embedding}.lora_embedding_A`, `${head}.lora_B.weight`],
        [`${embedding}.lora_embedding_B`, `${head}.lora_A.weight`],
      ] as const
    ) {
      const turned = scope(() => transpose(loadTensor(stored.get(one)!, model)));
      if (await sameNumbers(turned, loadTensor(stored.get(other)!, model))) continue;
      throw new RangeError(
        `"${other}" is not the transpose of "${one}", though ensure_weight_tying makes them one in PEFT: set it to false to ` +
          "have both",
      );
    }
  }
}

/** The base's own tables that the folder brings along and that differ from the model's: the folder's count. */
async function changedTables(
  tables: Tables,
  stored: Stored,
  model: Model,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const changed = new Map<string, StoredTensor>();
  for (const { key, leaf } of tables) {
    const own = lookup(model.weights, leaf);
    const theirs = stored.get(key);
    if (theirs === undefined || !(own instanceof Tensor)) continue;
    if (!await sameNumbers(loadTensor(theirs, model), trainableCopy(model, leaf))) {
      changed.set(leaf, theirs);
    }
  }
  return changed;
}

/** A table that the folder has, or the embedding's that a head keeps. */
function fixedTable(base: ReadonlyMap<string, StoredTensor>, path: string, model: Model): Tensor {
  const table = base.get(path);
  if (table !== undefined) return loadTensor(table, model);
  const head = model.spec.heads.find((head) => `${head.path}.weight` === path)!;
  return trainableCopy(model, `${head.tiedTo}.weight`);
}

/** Reads the tensors into the layout's params. */
function paramsOf(
  layout: FolderLayout,
  fixedPaths: readonly string[],
  fixed: (path: string) => Tensor,
  stored: Stored,
  model: Model,
): Tree {
  return scope((): Synchronous<Tree> => {
    const params = nest<Tensor>([
      ...layout.tensors.map((t): readonly [string, Tensor] => [
        t.path,
        shaped(partOf(loadTensor(stored.get(t.key)!, model), t), t.shape),
      ]),
      ...fixedPaths.map((path): readonly [string, Tensor] => [
        `${PARTS.fixed}.frozen.${path}`,
        fixed(path),
      ]),
    ]);
    // PEFT projects in each pass (COFT), so its files may hold what the last step left.
    return (layout.method.project?.(params) ?? params) as Synchronous<Tree>;
  });
}

/** The rows or columns that are the parameter's. */
function partOf(matrix: Tensor, { shape, part }: PeftTensor): Tensor {
  if (part === undefined) return matrix;
  const { axis, from } = part;
  return slice(matrix, axis, from, from + size(shape) / matrix.shape[1 - axis]!);
}

/** The same numbers under another shape. */
function shaped(t: Tensor, shape: Shape): Tensor {
  if (size(shape) !== t.size) throw new RangeError(`Cannot see ${showShape(t.shape)} as ${showShape(shape)}`);
  return sameShape(t.shape, shape) ? t : reinterpret(t, shape);
}
