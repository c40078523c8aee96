/**
 * A language model's GGUF file seen as a Hugging Face checkpoint (config, names, layouts), and a checkpoint as the
 * content of a GGUF file. Follows transformers' own GGUF loader and llama.cpp's converter: q and k rows of "llama" are
 * interleaved there, GPT-2's Conv1D matrices transposed, a missing `output.weight` means tied embeddings.
 */
import { byteLength, isGguf, isQuantized } from "../tensor/mod.ts";
import type { DType } from "../tensor/mod.ts";
import type { GgufFile } from "./gguf.ts";
import {
  architectureOf,
  configFromGguf,
  ggufArchitecture,
  ggufFromConfig,
  headDim,
  headsOf,
  numberOf,
} from "./gguf_config.ts";
import type { GgufValue } from "./gguf_metadata.ts";
import { ggufName, huggingFaceName, relayout } from "./gguf_names.ts";
import type { GgufArchitecture } from "./gguf_names.ts";
import { llama3Factors } from "./gguf_rope.ts";
import { ggufFileType } from "./gguf_types.ts";
import { halfToF32 } from "./plain_numbers.ts";
import { fromInterleaved, reorderRows, toInterleaved, transposed } from "./relayout.ts";
import type { JsonObject, StoredTensor, TensorFile, WritableTensor } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** A derived tensor that is not a weight; the model has no place for it. */
const COMPUTED = /^rope_freqs\.weight$|\.attn_rot_embd\.weight$/;

/** A GGUF model as a checkpoint. */
export interface GgufModel {
  /** As in `config.json`. */
  readonly config: JsonObject;
  /** Under Hugging Face names, in their layouts; quantized weights stay in their GGUF blocks. */
  readonly tensors: TensorFile;
}

/**
 * Views a GGUF file as a Hugging Face checkpoint. Layouts are converted row by row when a tensor is read.
 * Closing the view closes the file.
 *
 * @throws {TypeError} when the architecture is not supported.
 * @throws {RangeError} when a tensor has no place in the architecture or metadata are missing.
 * @example
 * ```ts
 * import { loadModel, reference, saveModel } from "@graft/peft";
 * import { ggufModel, openGguf } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile({ suffix: ".gguf" });
 * await saveModel(path, await loadModel("embedded/model", { backend: reference() }));
 * const { config, tensors } = ggufModel(openGguf(path));
 * assert.equal(config["model_type"], "llama");
 * assert.ok(tensors.tensors.has("model.norm.weight")); // under Hugging Face's names
 * tensors.close();
 * await Deno.remove(path);
 * ```
 */
export function ggufModel(file: GgufFile): GgufModel {
  const architecture = ggufArchitecture(file.metadata);
  const embedding = file.tensors.get("token_embd.weight");
  if (!embedding) {
    throw rangeError("FILE_INVALID", `Cannot read this GGUF file: it has no tensor "token_embd.weight"`);
  }
  const frequencies = file.tensors.get("rope_freqs.weight");
  if (frequencies && frequencies.dtype !== "f32") {
    throw typeError(
      "FILE_INVALID",
      `Cannot read tensor "rope_freqs.weight": expected f32 but found ${frequencies.dtype}`,
    );
  }
  const config = configFromGguf(file.metadata, {
    vocabulary: embedding.shape[0]!,
    head: file.tensors.has("output.weight"),
    attentionBias: file.tensors.has("blk.0.attn_q.bias"),
    ...(frequencies ? { ropeFactors: new Float32Array(frequencies.read().buffer) } : {}),
  });
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of file.tensors.values()) {
    if (COMPUTED.test(tensor.name)) continue;
    const name = huggingFaceName(architecture, tensor.name);
    if (name === undefined) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read this GGUF file: a ${architecture} model has no tensor "${tensor.name}"`,
      );
    }
    tensors.set(name, asHuggingFace(architecture, config, name, tensor));
  }
  return { config, tensors: { tensors, metadata: file.metadata, close: () => file.close() } };
}

/** A tensor of a checkpoint to be written to a GGUF file. */
export interface GgufInput extends WritableTensor {
  /**
   * A Conv1D matrix that is already [out, in], as in GGUF: blocks run along rows, so they are formed after
   * the transpose.
   */
  readonly transposed?: boolean;
}

/** What `writeGguf` needs for a model. */
export interface GgufContent {
  /** Metadata with types, `general.architecture` first. */
  readonly fields: ReadonlyMap<string, GgufValue>;
  /** With GGUF names and layouts, converted when they are read. */
  readonly tensors: readonly WritableTensor[];
}

/**
 * Turns a Hugging Face checkpoint into the content of a GGUF file. Vectors (norms, biases) become f32, as
 * llama.cpp requires; a redundant copy of a tied head is omitted.
 *
 * @param extra Further metadata, especially the `tokenizer.*` fields, which llama.cpp requires to run the
 * file.
 * @throws {TypeError} when the architecture, a name or a dtype does not exist in GGUF.
 * @example
 * ```ts
 * import { ggufContent } from "@graft/peft/formats";
 * import { smallConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const read = () => new Uint8Array(4 * 16);
 * const { fields, tensors } = ggufContent(smallConfig("llama"), [
 *   { name: "model.norm.weight", dtype: "f32", shape: [16], byteLength: 4 * 16, read },
 * ]);
 * assert.equal(tensors[0]!.name, "output_norm.weight");
 * assert.deepEqual(fields.get("llama.block_count"), { type: "u32", value: 2 });
 * ```
 */
export function ggufContent(
  config: JsonObject,
  tensors: Iterable<GgufInput>,
  extra: ReadonlyMap<string, GgufValue> = new Map(),
): GgufContent {
  const architecture = architectureOf(config);
  const tied = config["tie_word_embeddings"] ?? ["gpt2", "smollm3", "gemma", "gemma3"].includes(architecture);
  const list: WritableTensor[] = [];
  const factors = architecture === "llama"
    ? llama3Factors(config["rope_scaling"], numberOf(config, "rope_theta", 10000), headDim(config))
    : undefined;
  if (factors) {
    list.push({
      name: "rope_freqs.weight",
      dtype: "f32",
      shape: [factors.length],
      byteLength: factors.byteLength,
      read: () => new Uint8Array(factors.slice().buffer),
    });
  }
  for (const tensor of tensors) {
    if (tied === true && tensor.name === "lm_head.weight") continue;
    const name = ggufName(architecture, tensor.name);
    if (name === undefined) {
      throw typeError(
        "CANNOT_SAVE",
        `Cannot write GGUF: a ${architecture} model has no tensor "${tensor.name}"`,
      );
    }
    list.push(asGguf(architecture, config, name, tensor));
  }
  const main = mainDtype(list);
  const fileType = ggufFileType(main);
  const fields = new Map([
    ...ggufFromConfig(config),
    ...(fileType === undefined
      ? []
      : [["general.file_type", { type: "u32", value: fileType }] as [string, GgufValue]]),
    ...(isGguf(main)
      ? [["general.quantization_version", { type: "u32", value: 2 }] as [string, GgufValue]]
      : []),
    ...extra,
  ]);
  return { fields, tensors: list };
}

function asHuggingFace(
  architecture: GgufArchitecture,
  config: JsonObject,
  name: string,
  tensor: StoredTensor,
): StoredTensor {
  const { dtype, shape, byteLength: bytes } = tensor;
  const where = `tensor "${tensor.name}"`;
  const change = relayout(architecture, tensor.name);
  if (change === "none") return { ...tensor, name };
  if (change === "add_one") {
    if (dtype !== "f32") {
      throw typeError("FILE_INVALID", `Cannot read ${where}: expected f32 but found ${dtype}`);
    }
    return { name, dtype, shape, byteLength: bytes, read: () => moved(tensor.read(), -1) };
  }
  if (change !== "transpose") {
    const from = fromInterleaved(where, shape, headsOf(config, change));
    return {
      name,
      dtype,
      shape,
      byteLength: bytes,
      read: () => reorderRows(where, dtype, shape, tensor.read(), from),
    };
  }
  if (isQuantized(dtype)) return { ...tensor, name }; // quantized matrices are [out, in] in a model, too
  return {
    name,
    dtype,
    shape: shape.toReversed(),
    byteLength: bytes,
    read: () => transposed(where, dtype, shape, tensor.read()),
  };
}

function asGguf(
  architecture: GgufArchitecture,
  config: JsonObject,
  name: string,
  tensor: GgufInput,
): WritableTensor {
  const { dtype, shape } = tensor;
  const where = `tensor "${tensor.name}"`;
  const change = tensor.transposed === true ? "none" : relayout(architecture, name);
  const read: (bytes: Uint8Array) => Uint8Array = change === "none"
    ? (bytes) => bytes
    : change === "transpose"
    ? (bytes) => transposed(where, dtype, shape, bytes)
    : change === "add_one"
    ? (bytes) => bytes // when it is f32
    : (bytes) =>
      reorderRows(where, dtype, shape, bytes, toInterleaved(where, shape, headsOf(config, change)));
  if (change === "add_one" || (shape.length === 1 && (dtype === "f16" || dtype === "bf16"))) {
    const wide = { name, dtype: "f32" as const, shape, byteLength: byteLength("f32", shape) };
    const widened = async (): Promise<Uint8Array> => {
      const bytes = read(await tensor.read());
      return dtype === "f16" || dtype === "bf16" ? halfToF32(dtype, bytes) : bytes;
    };
    return { ...wide, read: change === "add_one" ? async () => moved(await widened(), 1) : widened };
  }
  return {
    name,
    dtype,
    shape: change === "transpose" ? shape.toReversed() : shape,
    byteLength: tensor.byteLength,
    read: async () => read(await tensor.read()),
  };
}

/** f32 values with a number added. */
function moved(bytes: Uint8Array, by: number): Uint8Array {
  const numbers = new Float32Array(bytes.slice().buffer);
  return new Uint8Array(numbers.map((x) => x + by).buffer);
}

/** The dtype with most of the bytes. */
function mainDtype(tensors: readonly WritableTensor[]): DType {
  const bytes = new Map<DType, number>();
  for (const { dtype, byteLength } of tensors) bytes.set(dtype, (bytes.get(dtype) ?? 0) + byteLength);
  return [...bytes].reduce((a, b) => b[1] > a[1] ? b : a, ["f32", 0] as [DType, number])[0];
}
