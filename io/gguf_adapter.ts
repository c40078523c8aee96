/** Saves and loads adapters as GGUF files for llama.cpp: always as LoRA, whatever the method. */
import {
  type Adapter,
  byteLength,
  bytesOf,
  castTo,
  lookup,
  type MatrixPlace,
  type Method,
  type Model,
  nest,
  sameShape,
  scope,
  showShape,
  sizesOf,
  type Synchronous,
  Tensor,
} from "../core/mod.ts";
import { multiply } from "../ops/mod.ts";
import { type GgufLora, ggufLora, ggufLoraContent } from "../formats/gguf_adapter.ts";
import { openGguf } from "../formats/gguf.ts";
import { writeGguf } from "../formats/gguf_write.ts";
import { shortNames } from "../formats/peft_targets.ts";
import type { JsonObject, StoredTensor, WritableTensor } from "../formats/tensor_file.ts";
import { type Limit, type LoraForm, loraForm, type LoraLayer, loraOfRanks } from "../methods/mod.ts";
import { matrixPlaces } from "../methods/peft/places.ts";
import { refuseGradients } from "./partial_params.ts";
import { loadTensor } from "./stored_values.ts";
import { rangeError, typeError } from "../errors/error.ts";

/**
 * Writes an adapter as a GGUF file. Factors are f32, unchanged; where alpha / r cannot represent all layers'
 * scales, the rest is multiplied into B.
 *
 * @param limit How far to truncate a method that is not a low-rank product.
 * @throws {TypeError} when the adapter cannot be represented as LoRA, or llama.cpp would not apply a part of
 * it.
 */
export async function saveGgufAdapter(
  path: string,
  adapter: Adapter,
  model: Model,
  limit?: Limit,
): Promise<void> {
  const form = await loraForm(model, adapter, limit);
  try {
    for (const { place } of form.layers) checkTies(model, place);
    const alpha = alphaOf(form);
    const own = form.layers.every(({ place, a, b }) =>
      lookup(adapter.params, `${place.path}.a`) === a && lookup(adapter.params, `${place.path}.b`) === b
    );
    if (!own || form.layers.some((layer) => loraAlpha(layer) !== alpha)) refuseGradients(adapter, "GGUF");
    const layers = form.layers.map((layer) => ({
      path: layer.place.path,
      a: writable(layer.a, 1),
      b: writable(layer.b, loraAlpha(layer) === alpha ? 1 : layer.scale * layer.a.shape[0]! / alpha),
    }));
    const { fields, tensors } = ggufLoraContent({ alpha, layers }, model.config as JsonObject, {
      name: adapter.name === undefined || adapter.name === "default" ? adapter.method.name : adapter.name,
      ...model.source !== undefined && { base: nameOf(model.source) },
    });
    await writeGguf(path, fields, tensors);
  } finally {
    form.dispose();
  }
}

/**
 * Loads a GGUF file's adapter for a model, as LoRA. Parameters are f32 and owned by the caller.
 *
 * @throws {TypeError} when the file is not a LoRA adapter for the model's architecture.
 * @throws {RangeError} when a layer is not in the model or has another shape.
 */
export function loadGgufAdapter(path: string, model: Model): Adapter {
  const file = openGguf(path);
  try {
    const found = ggufLora(file, model.config as JsonObject);
    const layers = found.layers.map(({ path: at, a, b }) => ({
      place: placeOf(path, model, at, a, b),
      a,
      b,
    }));
    const params = scope(() =>
      nest<Tensor>(
        layers.flatMap(({ place, a, b }) =>
          [[`${place.path}.a`, loadTensor(a, model)], [`${place.path}.b`, loadTensor(b, model)]] as const
        ),
      ) as Synchronous<Adapter["params"]>
    );
    return { name: "default", method: methodOf(found, model), params };
  } finally {
    file.close();
  }
}

/** The alpha with which most layers keep their B: the most frequent s r. */
function alphaOf({ layers }: LoraForm): number {
  const counts = new Map<number, number>();
  for (const alpha of layers.map(loraAlpha)) counts.set(alpha, (counts.get(alpha) ?? 0) + 1);
  counts.delete(0); // llama.cpp reads 0 as "no scale"
  return [...counts].reduce((best, next) => next[1] > best[1] ? next : best, [1, 0])[0];
}

/** s r, as stored in a file in f32. */
function loraAlpha({ scale, a }: LoraLayer): number {
  return Math.fround(scale * a.shape[0]!);
}

/** llama.cpp has one matrix for a tied pair: it finds no `output.weight`, and would use an embedding's factors for both. */
function checkTies(model: Model, place: MatrixPlace): void {
  const head = model.spec.heads.find(({ path, tiedTo }) =>
    tiedTo !== undefined && [path, tiedTo].includes(place.path) &&
    !(lookup(model.weights, `${path}.weight`) instanceof Tensor)
  );
  if (head !== undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot write this adapter to GGUF: it adapts "${place.path}", and "${head.path}" is tied to "${head.tiedTo}", which ` +
        "llama.cpp cannot adapt apart; merge the adapter and save the model",
    );
  }
}

/** The last component of a folder or hub id. */
function nameOf(source: string): string {
  return source.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1)!.replace(/\.gguf$/, "");
}

function placeOf(file: string, model: Model, path: string, a: StoredTensor, b: StoredTensor): MatrixPlace {
  const place = matrixPlaces(model.spec).find((place) => place.path === path);
  if (place === undefined) {
    throw rangeError("ADAPTER_MISMATCH", `Cannot load "${file}": the model has no layer "${path}"`);
  }
  const { inFeatures, outFeatures } = sizesOf(place);
  const rank = b.shape[1]!;
  const wrong = [[a, [rank, inFeatures]] as const, [b, [outFeatures, rank]] as const]
    .find(([t, expected]) => !sameShape(t.shape, expected));
  if (wrong !== undefined) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot load "${file}" for this model: "${wrong[0].name}" of "${path}": expected ${
        showShape(wrong[1])
      } but found ${showShape(wrong[0].shape)}`,
    );
  }
  return place;
}

/** LoRA with the file's ranks and α. */
function methodOf({ alpha, layers }: GgufLora, model: Model): Method {
  const paths = layers.map(({ path }) => path);
  const ranks = Object.fromEntries(layers.map(({ path, b }) => [path, b.shape[1]!]));
  return loraOfRanks(ranks, {
    ...alpha !== undefined && { alpha },
    targets: shortNames(paths, matrixPlaces(model.spec).map((place) => place.path)),
  });
}

/** A factor that is scaled when it is written. */
function writable(t: Tensor, factor: number): WritableTensor {
  return {
    name: "",
    dtype: "f32",
    shape: t.shape,
    byteLength: byteLength("f32", t.shape),
    read: async () => {
      if (t.dtype === "f32" && factor === 1) return await bytesOf(t);
      const made = scope(() => multiply(castTo(t, "f32"), factor));
      const bytes = await bytesOf(made);
      made.storage.free();
      return bytes;
    },
  };
}
