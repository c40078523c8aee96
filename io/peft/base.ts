/**
 * The base's own tables in a PEFT folder. When an embedding or the head is a target, PEFT saves its whole
 * table along with the factors, in case the vocabulary was resized, and restores it in the base on loading.
 */
import { lookup, matchesWhole, type Model, type Shape, Tensor } from "../../core/mod.ts";
import { pythonPattern } from "../../formats/peft_targets.ts";
import type { FolderParts } from "./folder_parts.ts";

/** A table: its key, the model's leaf, and its shape. */
export interface BaseTable {
  readonly key: string;
  readonly leaf: string;
  readonly shape: Shape;
}

/** The tables that a folder may contain. A tied head's is the embedding's. */
export function baseTables({ main }: FolderParts, model: Model): readonly BaseTable[] {
  return (main?.places ?? []).flatMap((place) => {
    if (place.kind === "linear" || (place.kind === "embedding" && place.role !== "token")) return [];
    const leaf = `${place.kind === "head" ? place.tiedTo ?? place.path : place.path}.weight`;
    const own = lookup(model.weights, `${place.path}.weight`);
    const found = own instanceof Tensor ? `${place.path}.weight` : leaf;
    const table = lookup(model.weights, found);
    return table instanceof Tensor
      ? [{ key: `${place.path}.base_layer.weight`, leaf: found, shape: table.shape }]
      : [];
  });
}

/** Whether PEFT saves them for these targets: it checks for two names of embeddings. */
export function savesBaseTables(targets: readonly string[] | string, paths: readonly string[]): boolean {
  const names = ["embed_tokens", "lm_head"];
  if (typeof targets !== "string") return names.some((name) => targets.includes(name));
  const pattern = pythonPattern(targets);
  return paths.some((path) =>
    names.some((name) => path === name || path.endsWith(`.${name}`)) && matchesWhole(pattern, path)
  );
}
