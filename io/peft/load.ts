/** Adapters from HF PEFT folders. */
import { readFile } from "node:fs/promises";
import {
  type Adapter,
  dispose,
  leaves,
  lookup,
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
} from "../../core/mod.ts";
import { slice, transpose } from "../../ops/mod.ts";
import type { MainPart, PeftTensor } from "../../methods/peft/codec.ts";
import type { HeldAdapters, HeldFolders } from "../../methods/peft/form.ts";
import { type PeftConfig, readPeftConfig } from "../../formats/peft_config.ts";
import { PEFT_FILES, withoutPrefix } from "../../formats/peft_keys.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { weightsPath } from "../adapter_folder.ts";
import type { NamedFolderOptions } from "../named_folder.ts";
import { equalValues, loadTensor } from "../stored_values.ts";
import { type BaseTable, baseTables } from "./base.ts";
import {
  checkCopies,
  checkKeys,
  checkPlaces,
  checkShared,
  checkZeros,
  type Stored,
} from "./folder_checks.ts";
import { type FolderLayout, folderLayout, PARTS } from "./layout.ts";
import { type LoadHeld, loadHeld } from "./held_folders.ts";
import { asStored, heldFolders, partsOfConfig } from "./options.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * The adapter of a folder whose config is PEFT's.
 *
 * @param load Loads the folders of adapters that the method holds, which may be of any kind.
 * @param options Which folders the config may name.
 */
export async function loadPeftFolder(
  folder: string,
  name: string,
  model: Model,
  load: LoadHeld,
  options: NamedFolderOptions = {},
): Promise<Adapter> {
  const path = `${folder}/${PEFT_FILES.config}`;
  const config = readPeftConfig(path, await readFile(path));
  const folders = heldFolders(config);
  const held = folders && await loadHeld(folder, config, folders, model, load, options);
  try {
    return await loadParts(folder, name, config, folders && { folders, adapters: held! }, model);
  } catch (error) {
    dispose(held);
    throw error;
  }
}

/** The adapters that a method holds, and how its folder names theirs. */
interface Held {
  readonly folders: HeldFolders;
  readonly adapters: HeldAdapters;
}

async function loadParts(
  folder: string,
  name: string,
  config: PeftConfig,
  held: Held | undefined,
  model: Model,
): Promise<Adapter> {
  const file = openSafetensors(await weightsPath(folder));
  try {
    const parts = partsOfConfig(asStored(config, file.tensors.values()), model, held?.adapters);
    const stored = new Map([...file.tensors.values()].map((t) => [withoutPrefix(t.name), t]));
    if (stored.size < file.tensors.size) {
      throw rangeError(
        "FILE_INVALID",
        `${folder}: a key stands in the file with and without the prefix "base_model.model."`,
      );
    }
    const expected = folderLayout(parts, model, name);
    const tables = baseTables(parts, model);
    held?.folders.check(folder, parts.main!, stored);
    checkKeys(folder, config, expected, tables, stored);
    await checkCopies(expected, stored, model);
    await checkZeros(expected, stored, model);
    await checkPlaces(expected, stored, model);
    await checkShared(parts, stored, model);
    const base = await changedTables(tables, stored, model);
    const changed = await parts.main?.changed?.on(
      ({ path }) => stored.has(`${path}.base_layer.weight`),
      model,
    );
    const codes = changed?.weights ?? new Map<string, Tensor>();
    const all = {
      ...parts,
      fixed: [...base.keys(), ...codes.keys(), ...(parts.fixed ?? []).filter((path) => !base.has(path))],
    };
    const layout = folderLayout(all, model, name);
    const fixed = (path: string): Tensor => codes.get(path) ?? fixedTable(base, path, model);
    const read = paramsOf(layout, all.fixed, fixed, stored, model);
    const params = parts.main?.frozen === undefined
      ? read
      : withFrozen(read, await parts.main.frozen(model), parts.main, layout);
    if (changed?.method !== undefined) {
      const { tensors } = parts.main!;
      const keys = new Map(tensors.map(({ path, key }) => [path, key]));
      const at = (path: string): string => layout.tensors.find(({ key }) => key === keys.get(path))!.path;
      const main = { ...parts.main!, method: changed.method };
      const own = await changed.params(params, at);
      return { name, method: folderLayout({ ...all, main }, model, name).method, params: own };
    }
    return {
      name,
      method: layout.method,
      params: held === undefined ? params : held.folders.join(config.fields, params, held.adapters),
    };
  } finally {
    file.close();
  }
}

/** The parameters with frozen ones added for the main part. */
function withFrozen(params: Tree, frozen: Tree, { tensors }: MainPart, layout: FolderLayout): Tree {
  const { key, path } = tensors[0]!;
  const at = layout.tensors.find((t) => t.key === key)!.path;
  const prefix = at.slice(0, at.length - path.length); // "" or "adapter."
  return nest([
    ...leaves(params),
    ...leaves(frozen).map(([path, t]) => [`${prefix}${path}`, t] as const),
  ]) as Tree;
}

/** The base's own tables in the folder that differ from the model's: the folder's take precedence. */
async function changedTables(
  tables: readonly BaseTable[],
  stored: Stored,
  model: Model,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const changed = new Map<string, StoredTensor>();
  for (const { key, leaf } of tables) {
    const own = lookup(model.weights, leaf);
    const theirs = stored.get(key);
    if (theirs === undefined || !(own instanceof Tensor)) continue;
    if (!await equalValues(() => loadTensor(theirs, model), () => trainableCopy(model, leaf))) {
      changed.set(leaf, theirs);
    }
  }
  return changed;
}

/** A table of the folder, or the embedding's table that a head keeps. */
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
      ...layout.tensors.filter(({ zeros }) => !zeros).map((t): readonly [string, Tensor] => [
        t.path,
        shaped(
          transposedBack(partOf(loadTensor(stored.get(t.key)!, model, t.below && "i32"), t), t),
          t.shape,
        ),
      ]),
      ...fixedPaths.map((path): readonly [string, Tensor] => [
        `${PARTS.fixed}.frozen.${path}`,
        fixed(path),
      ]),
    ]);
    // PEFT projects in each pass (COFT), so its files may contain unprojected parameters.
    return (layout.method.project?.(params) ?? params) as Synchronous<Tree>;
  });
}

/** The rows or columns that belong to the parameter. */
function partOf(matrix: Tensor, { shape, part }: PeftTensor): Tensor {
  if (part === undefined) return matrix;
  const { axis, from } = part;
  return slice(matrix, axis, from, from + size(shape) / matrix.shape[1 - axis]!);
}

/** The matrix in the parameters' layout. */
const transposedBack = (matrix: Tensor, { transposed }: PeftTensor): Tensor =>
  transposed ? transpose(matrix) : matrix;

/** The same values with another shape. */
function shaped(t: Tensor, shape: Shape): Tensor {
  if (size(shape) !== t.size) {
    throw rangeError("FILE_INVALID", `Cannot see ${showShape(t.shape)} as ${showShape(shape)}`);
  }
  return sameShape(t.shape, shape) ? t : reinterpret(t, shape);
}
