/** Adapters into AdapterHub folders: one adapter, or a setup of several where one configuration cannot hold it. */
import type { Adapter, Json, Model } from "../core/mod.ts";
import { ADAPTERS_FILES, ADAPTERS_VERSION } from "../formats/adapters_config.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { writeSafetensors } from "../formats/safetensors_write.ts";
import { describe, type Piece, piecesOf } from "./adapters_fields.ts";
import { adapterFiles, checkedName, type HubFile } from "./adapters_files.ts";
import { fusionFiles } from "./adapters_fusion_files.ts";
import { headFiles } from "./adapters_head_files.ts";

/**
 * Saves an adapter as AdapterHub's library does, as safetensors, in the folder itself: the adapter's name stands inside the keys.
 *
 * @throws {TypeError} when the library has no such method.
 * @throws {RangeError} when it would compute something else, or parameters do not fit the model. Nothing is written then.
 */
export async function saveAdaptersFolder(folder: string, adapter: Adapter, model: Model): Promise<void> {
  const files = hubFiles(adapter, model);
  for (const { path, ...file } of files) {
    const target = `${folder.replace(/\/+$/, "")}/${path}`;
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    if ("tensors" in file) await writeSafetensors(target, file.tensors);
    else await writeTextAtomically(target, file.text);
  }
}

const HEADS: readonly string[] = ["modulesToSave", "only", "classifier"];

/** All files of an adapter's folder. */
function hubFiles(adapter: Adapter, model: Model): readonly HubFile[] {
  const name = checkedName(adapter.name ?? "default");
  const pieces = piecesOf(adapter.method.name, adapter.method.config, adapter.params, "");
  const heads = pieces.filter(({ method }) => HEADS.includes(method));
  const rest = pieces.filter(({ method }) => !HEADS.includes(method));
  if (rest.length === 0) {
    throw new TypeError("Cannot save a head alone as an AdapterHub folder: merge it and save the model");
  }
  const head = headFiles(heads, adapter, model);
  if (rest.some(({ method }) => method === "adapterFusion") || !isOne(rest, model)) {
    return [...setupFiles(rest, adapter, model), ...head];
  }
  return [...adapterFiles(name, rest, adapter, model), ...head];
}

/** Whether one configuration, or a union of different ones, holds the pieces. */
function isOne(pieces: readonly Piece[], model: Model): boolean {
  const seen = new Set<string>();
  for (const piece of pieces) {
    const { kind, config: { fields } } = describe(piece, model);
    const places = kind === "bottleneck"
      ? ["mh_adapter", "output_adapter", "cross_adapter"].filter((place) => fields[place] === true)
      : [kind === "fused" && fields["composition_mode"] !== "scale" ? "fused" : kind];
    if (places.some((place) => seen.has(place))) return false;
    for (const place of places) seen.add(place);
  }
  return true;
}

/** A composition that no one configuration holds: a folder for each adapter, stacked in order. */
function setupFiles(pieces: readonly Piece[], adapter: Adapter, model: Model): readonly HubFile[] {
  const groups = Map.groupBy(pieces, ({ prefix }) => prefix.split(".")[0]!);
  const children: { block: Json; files: readonly HubFile[] }[] = [];
  for (const [part, own] of groups) {
    const name = part === "" ? "default" : part;
    const fusion = own.find(({ method }) => method === "adapterFusion");
    if (fusion === undefined) {
      children.push({
        block: { type: "single", children: [name] },
        files: adapterFiles(name, own, adapter, model).map((file) => ({
          ...file,
          path: `${name}/${file.path}`,
        })),
      });
      continue;
    }
    if (own.length > 1) {
      throw new RangeError(
        `Cannot save a fusion with other parts under "${name}" for AdapterHub: give it a name of its own`,
      );
    }
    children.push(fusionFiles(fusion, adapter, model));
  }
  const blocks = children.map(({ block }) => block);
  const setup = {
    adapter_setup: blocks.length === 1 && (blocks[0] as { readonly type: string }).type === "Fuse"
      ? blocks[0]!
      : { type: "Stack", children: blocks },
    head_setup: null,
    version: ADAPTERS_VERSION,
  };
  return [
    { path: ADAPTERS_FILES.setup, text: `${JSON.stringify(setup, null, 2)}\n` },
    ...children.flatMap(({ files }) => files),
  ];
}
