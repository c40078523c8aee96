/** Adapters of a model with replicated layers, which are listed in the folder's config (PEFT's `layer_replication`). */
import { readFile } from "node:fs/promises";
import { checkCounts, type Json, type Model, MOST } from "../core/mod.ts";
import { PEFT_FILES } from "../formats/peft_keys.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import { type LayerRange, replicatedRanges, replicateLayers } from "../models/mod.ts";
import { isThere, localFolder } from "./adapter_folder.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** The field's name, in PEFT's folders and in ours. */
const FIELD = "layer_replication";

/** The field for a model's adapters; empty where no layers are replicated. */
export function replicationField(model: Model): { readonly layer_replication?: Json } {
  const ranges = replicatedRanges(model);
  return ranges === undefined ? {} : { [FIELD]: ranges };
}

/**
 * Checks that a model's layers are those that an adapter's config requires. A config without the field may
 * belong to an adapter for the deeper model as a separate checkpoint.
 *
 * @throws {RangeError} when they are not.
 */
export async function checkReplication(folder: string, model: Model): Promise<void> {
  const asked = await replicationOf(`${folder}/${PEFT_FILES.config}`);
  if (asked === undefined) return;
  const own = replicatedRanges(model);
  if (own !== undefined && numbers(own).join() === numbers(asked).join()) return;
  const [shown, count] = [JSON.stringify(asked), numbers(asked).length];
  throw rangeError(
    "ADAPTER_MISMATCH",
    `Cannot load "${folder}": it is for a model of ${count} layers, ${FIELD} ${shown} of its base, but this one has ${
      own === undefined
        ? `its own ${model.spec.blocks.length}`
        : `${model.spec.blocks.length}, ${JSON.stringify(own)}`
    }; load it for replicateLayers(base, ${shown})`,
  );
}

/**
 * The model that an adapter is for: with its layers replicated as specified in the adapter's folder, else the
 * model itself.
 *
 * @param source A folder, a `.gguf` file (which has no such field) or a hub id.
 * @param name Which adapter of a folder.
 * @throws {RangeError} when the model lacks layers that the folder names.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, replicateLayers, saveAdapter, smallConfig } from "@graft/peft";
 * import { modelOfAdapter } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const base = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const deeper = replicateLayers(base, [[0, 2], [0, 2]]);
 * const folder = await Deno.makeTempDir();
 * await saveAdapter(folder, adapt(deeper, lora({ rank: 2 })), deeper);
 * assert.equal((await modelOfAdapter(folder, base)).spec.blocks.length, 4);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function modelOfAdapter<M extends Model>(source: string, model: M, name?: string): Promise<M> {
  if (source.endsWith(".gguf")) return model;
  const root = await localFolder(source, name);
  const places = [...name === undefined ? [] : [`${root}/${name}`], root].map((at) =>
    `${at}/${PEFT_FILES.config}`
  );
  const there = await Promise.all(places.map(isThere));
  const path = places[there.indexOf(true)];
  if (path === undefined) return model; // reported by `loadAdapter`
  const ranges = await replicationOf(path);
  return ranges === undefined ? model : replicateLayers(model, ranges);
}

/** The ranges in a config; undefined where it has none. */
async function replicationOf(path: string): Promise<readonly LayerRange[] | undefined> {
  const config = parseJson(path, await readFile(path));
  if (!isObject(config)) return undefined;
  checkCounts(path, { [FIELD]: config[FIELD] }, { [FIELD]: "blocks" });
  const ranges = rangesOf(config[FIELD] as Json | undefined);
  const count = (ranges ?? []).reduce((n, [start, end]) => n + Math.max(0, end - start), 0);
  if (count <= MOST.blocks) return ranges;
  throw rangeError(
    "FILE_INVALID",
    `Expected "${FIELD}" in ${path} to give at most ${MOST.blocks} layers but found ${count}`,
  );
}

function rangesOf(value: Json | undefined): readonly LayerRange[] | undefined {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return undefined;
  const isRange = (range: Json): boolean =>
    Array.isArray(range) && range.length === 2 && range.every((n) => Number.isInteger(n));
  if (Array.isArray(value) && value.every(isRange)) return value;
  throw typeError(
    "FILE_INVALID",
    `Expected the field "${FIELD}" of adapter_config.json to be ranges [start, end) of layers but found ${
      JSON.stringify(value)
    }`,
  );
}

const numbers = (ranges: readonly LayerRange[]): readonly number[] =>
  ranges.flatMap(([start, end]) => Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i));
