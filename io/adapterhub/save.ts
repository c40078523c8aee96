/**
 * Saves adapters as AdapterHub folders: one adapter, or a setup of several where one configuration cannot
 * represent it.
 */
import { mkdir } from "node:fs/promises";
import type { Adapter, Model } from "../../core/mod.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { componentsOf } from "../../methods/adapterhub/components.ts";
import { adapterFiles, checkedName, type HubFile, libraryClass } from "./files.ts";
import { headFiles, ownHead, rowHeadFiles, rowHeads } from "./head_files.ts";
import { isOneHead, nodeOf, setupFiles } from "./setup_files.ts";
import { typeError } from "../../errors/error.ts";

/**
 * Saves an adapter as AdapterHub's library does, as safetensors, in the folder itself: the adapter's name is
 * part of the keys.
 *
 * @throws {TypeError} when the library has no such method.
 * @throws {RangeError} when it would compute something else, or parameters do not fit the model; then nothing
 * is written.
 */
export async function saveAdaptersFolder(folder: string, adapter: Adapter, model: Model): Promise<void> {
  const files = hubFiles(adapter, model);
  for (const file of files) {
    if ("tensors" in file) { for (const { check } of file.tensors) await check?.(); }
  }
  for (const { path, ...file } of files) {
    const target = `${folder.replace(/\/+$/, "")}/${path}`;
    await mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    if ("tensors" in file) await writeSafetensors(target, file.tensors);
    else await writeTextAtomically(target, file.text);
  }
}

/** All files of an adapter's folder. */
function hubFiles(adapter: Adapter, model: Model): readonly HubFile[] {
  const name = checkedName(adapter.name ?? "default");
  const { method, params } = adapter;
  const node = nodeOf(name, method, params, "", model);
  if (node === undefined) {
    throw typeError(
      "CANNOT_SAVE",
      "Cannot save a head alone as an AdapterHub folder: merge it and save the model",
    );
  }
  const heads = componentsOf(method, params, "").filter(({ of }) => isOneHead(of));
  const byRows = rowHeads(method, params, "");
  const isOwn = [...heads, ...byRows.map(({ component }) => component)].some((component) =>
    ownHead(component) !== undefined
  );
  // The library's own heads are only stored with adapters of its own model classes.
  const written = isOwn
    ? { ...model, config: { ...model.config, architectures: [libraryClass(model)] } }
    : model;
  const files = node.kind === "single"
    ? adapterFiles(name, node.components, adapter, written)
    : setupFiles(node, adapter, written);
  return [...files, ...headFiles(heads, adapter, model), ...rowHeadFiles(byRows, node, adapter, model)];
}
