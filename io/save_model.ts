/** `saveModel`: saves a model as a Hugging Face folder or a GGUF file. */
import { mkdir } from "node:fs/promises";
import {
  type Advancing,
  allEdits,
  byteLength,
  bytesOf,
  castTo,
  castWeight,
  castWeightShape,
  type DType,
  isGguf,
  isQuantized,
  isStoredTransposed,
  lookup,
  type Model,
  read,
  scope,
  Tensor,
  transiently,
  weightLeaves,
} from "../core/mod.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { bitsandbytesConfig, bitsandbytesGroup } from "../formats/bitsandbytes_write.ts";
import { ggufContent, type GgufInput } from "../formats/gguf_model.ts";
import { writeGguf } from "../formats/gguf_write.ts";
import { type SafetensorsInput, writeSafetensors } from "../formats/safetensors_write.ts";
import type { JsonObject, WritableTensor } from "../formats/tensor_file.ts";
import { architectureOf } from "../models/mod.ts";
import { multiply } from "../ops/mod.ts";
import { type Making, modelCard } from "./adapter_card.ts";
import { configText, keptSettings, storageOf } from "./bitsandbytes_settings.ts";
import { copyTokenizer, ggufVocabulary } from "./tokenizer_files.ts";
import { typeError } from "../errors/error.ts";

/** Options of `saveModel`. */
export interface SaveModelOptions extends Advancing {
  /**
   * Dtype of the weights. Default: unchanged, with dtypes that the format lacks dequantized to f32; in a
   * folder, vectors are stored in the model's 16-bit dtype where that is exact. With a block type (GGUF only)
   * vectors stay f32.
   */
  readonly dtype?: DType;
  /** Writes a model card, README.md, along with the weights of a folder. Default: none. */
  readonly card?: Making & {
    /** How it was trained. */
    readonly method: string;
    /** Number of trained parameters. */
    readonly trained: number;
  };
}

type Bitsandbytes = "nf4" | "fp4" | "nf4_double" | "fp4_double" | "int8";

/**
 * Saves a model, one leaf at a time: `config.json` and `model.safetensors` in a folder, with the tokenizer's
 * files where the model came from a folder that has them; or, for a path that ends in ".gguf", one GGUF file.
 * Linear layers in a bitsandbytes type are written as by transformers. A head that was untied from its
 * embedding by merging is saved separately, and `tie_word_embeddings` becomes false.
 *
 * @throws {TypeError} when the model has grafted edits, which weights cannot represent, weights that its
 * architecture has no place for (a merged bias), or a dtype that the format lacks.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, merge, reference, saveModel, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const folder = await Deno.makeTempDir();
 * await saveModel(folder, merge(model, adapt(model, lora({ rank: 4 }))), { dtype: "bf16" });
 * assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["config.json", "model.safetensors"]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveModel(path: string, model: Model, options: SaveModelOptions = {}): Promise<void> {
  const [edit] = allEdits(model.weights);
  if (edit !== undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save the model: an adapter is grafted at "${edit.path}"; merge it first, or save the adapter`,
    );
  }
  checkPlaces(model);
  if (path.endsWith(".gguf")) await saveGguf(path, model, options);
  else await saveFolder(path.replace(/\/+$/, ""), model, options);
}

/** A merged bias may be where the architecture has none; another program would silently drop it. */
function checkPlaces({ spec, weights, config }: Model): void {
  const known = new Set([
    ...[...spec.linears, ...spec.norms, ...spec.heads].flatMap((p) =>
      p.bias ? [`${p.path}.weight`, `${p.path}.bias`] : [`${p.path}.weight`]
    ),
    ...spec.embeddings.map((p) => `${p.path}.weight`),
  ]);
  const lost = weightLeaves(weights).map(([path]) => path).find((path) => !known.has(path));
  if (lost !== undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save the model: a ${config.model_type} checkpoint has no place for "${lost}"; keep the adapter beside the base`,
    );
  }
}

async function saveFolder(folder: string, model: Model, options: SaveModelOptions): Promise<void> {
  const { dtype, card } = options;
  if (dtype !== undefined && !["f32", "f16", "bf16"].includes(dtype)) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save a folder with dtype ${dtype}: f32, f16 and bf16 are plain; for bitsandbytes quantize the model, for ` +
        'blocks save to a path that ends in ".gguf"',
    );
  }
  const quantized = dtype === undefined ? quantizedLayers(model) : undefined;
  const { savedName = (path: string) => path, tiedScale = 1 } = architectureOf(model.config);
  const untied = new Set(untiedHeads(model));
  const main = mainDtype(model, quantized?.paths);
  const tensors: SafetensorsInput[] = [];
  const passed = counting(model, options);
  for (const [path, leaf] of weightLeaves(model.weights)) {
    const name = savedName(path);
    if (quantized?.paths.has(path)) {
      const bytes = await bytesOf(leaf);
      passed();
      const stored = {
        name,
        dtype: leaf.dtype,
        shape: leaf.shape,
        byteLength: bytes.length,
        read: () => bytes,
      };
      tensors.push(
        ...bitsandbytesGroup(stored, { dtype: torchName(main), storage: storageOf(quantized.settings) }),
      );
    } else {
      const own = isQuantized(leaf.dtype) ? "f32" : leaf.dtype;
      const plain = dtype ?? (await isExactly(leaf, main) ? main : own);
      // The config will say that it is untied, so its scores are no longer scaled.
      const factor = untied.has(path) ? tiedScale : 1;
      tensors.push(writable(name, leaf, plain, isStoredTransposed(model.spec, path), passed, factor));
    }
  }
  await mkdir(folder, { recursive: true });
  await writeSafetensors(`${folder}/model.safetensors`, tensors);
  const config = configOf(model, dtype, quantized);
  await writeTextAtomically(`${folder}/config.json`, configText(config));
  await copyTokenizer(model.source, folder);
  if (card === undefined) return;
  const ofBase = weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0);
  await writeTextAtomically(`${folder}/README.md`, modelCard({ base: model.source, ofBase, ...card }));
}

async function saveGguf(path: string, model: Model, options: SaveModelOptions): Promise<void> {
  const { dtype } = options;
  const passed = counting(model, options);
  const tensors = weightLeaves(model.weights).map(([name, leaf]): GgufInput => {
    const own = isQuantized(leaf.dtype) && !isGguf(leaf.dtype) ? "f32" : leaf.dtype;
    const wanted = dtype ?? own;
    if (leaf.shape.length < 2 && isQuantized(wanted)) return writable(name, leaf, "f32", false, passed);
    const inOut = isStoredTransposed(model.spec, name);
    return { ...writable(name, leaf, wanted, inOut, passed), transposed: inOut && isQuantized(wanted) };
  });
  const { fields, tensors: laidOut } = ggufContent(
    configOf(model, undefined, undefined),
    tensors,
    await ggufVocabulary(model),
  );
  await writeGguf(path, fields, laidOut);
}

/** The layers that transformers stores in a bitsandbytes type, and that type. */
function quantizedLayers(
  model: Model,
):
  | {
    readonly dtype: Bitsandbytes;
    readonly paths: ReadonlySet<string>;
    readonly plain: readonly string[];
    readonly settings: JsonObject;
  }
  | undefined {
  const layers = model.spec.linears.map((place) => {
    const leaf = lookup(model.weights, `${place.path}.weight`) as Tensor;
    return { path: place.path, dtype: bitsandbytesType(leaf.dtype) };
  });
  const types = new Set(layers.flatMap(({ dtype }) => dtype === undefined ? [] : [dtype]));
  const [dtype] = types;
  if (dtype === undefined) return undefined;
  if (types.size > 1) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save a folder with layers in ${
        [...types].join(" and ")
      }: transformers takes one type; save with { dtype }`,
    );
  }
  return {
    dtype,
    paths: new Set(layers.filter((layer) => layer.dtype !== undefined).map(({ path }) => `${path}.weight`)),
    plain: layers.filter((layer) => layer.dtype === undefined).map(({ path }) => path),
    settings: keptSettings(model, dtype),
  };
}

function bitsandbytesType(dtype: DType): Bitsandbytes | undefined {
  switch (dtype) {
    case "nf4":
    case "fp4":
    case "nf4_double":
    case "fp4_double":
    case "int8":
      return dtype;
    default:
      return undefined;
  }
}

function configOf(
  model: Model,
  dtype: DType | undefined,
  quantized: ReturnType<typeof quantizedLayers>,
): JsonObject {
  const { quantization_config: _, torch_dtype: __, ...config } = model.config;
  const untied = untiedHeads(model).length > 0;
  return {
    ...config,
    dtype: torchName(dtype ?? mainDtype(model, quantized?.paths)),
    ...untied && { tie_word_embeddings: false },
    ...quantized && {
      quantization_config: { ...bitsandbytesConfig(quantized.dtype, quantized.plain), ...quantized.settings },
    },
  };
}

/** Matrices of heads that the config ties to the embedding, but that have their own. */
function untiedHeads({ spec, weights }: Model): readonly string[] {
  return spec.heads.filter(({ tiedTo }) => tiedTo !== undefined).map(({ path }) => `${path}.weight`)
    .filter((path) => lookup(weights, path) instanceof Tensor);
}

/** The dtype of most elements that will be unquantized, excluding those at the paths. */
function mainDtype(model: Model, quantized: ReadonlySet<string> = new Set()): DType {
  const sizes = new Map<DType, number>();
  for (const [path, leaf] of weightLeaves(model.weights)) {
    if (quantized.has(path)) continue;
    const dtype = isQuantized(leaf.dtype) ? "f32" : leaf.dtype;
    sizes.set(dtype, (sizes.get(dtype) ?? 0) + leaf.size);
  }
  return [...sizes].sort(([, a], [, b]) => b - a)[0]?.[0] ?? "f32";
}

/** Whether a vector, which is f32 in memory, is exactly representable in the model's 16-bit dtype. */
async function isExactly(leaf: Tensor, dtype: DType): Promise<boolean> {
  if (leaf.shape.length > 1 || leaf.dtype !== "f32" || (dtype !== "f16" && dtype !== "bf16")) return false;
  const rounded = transiently(() => scope(() => castTo(castTo(leaf, dtype), "f32")));
  const [own, back] = [await read(leaf), await read(rounded)];
  rounded.storage.free();
  return own.every((x, i) => x === back[i]);
}

function torchName(dtype: DType): "bfloat16" | "float16" | "float32" {
  return dtype === "bf16" ? "bfloat16" : dtype === "f16" ? "float16" : "float32";
}

/** Says after each weight how many there are. */
function counting({ weights }: Model, { advanced }: Advancing): () => void {
  const total = weightLeaves(weights).length;
  let done = 0;
  return () => advanced?.(++done, total);
}

/** A leaf that is converted when it is written; `passed` is called when it has been. */
function writable(
  name: string,
  leaf: Tensor,
  dtype: DType,
  inOut: boolean,
  passed: () => void,
  factor = 1,
): WritableTensor {
  const shape = castWeightShape(leaf, dtype, inOut);
  return {
    name,
    dtype,
    shape,
    byteLength: byteLength(dtype, shape),
    read: async () => {
      const bytes = await converted();
      passed();
      return bytes;
    },
  };
  async function converted(): Promise<Uint8Array<ArrayBuffer>> {
    if (dtype === leaf.dtype && factor === 1) return await bytesOf(leaf);
    const scaled = (): Tensor => factor === 1 ? leaf : multiply(castTo(leaf, "f32"), factor);
    const cast = transiently(() => scope(() => castWeight(scaled(), dtype, inOut)));
    const bytes = await bytesOf(cast);
    cast.storage.free();
    return bytes;
  }
}
