/**
 * GGUF files that hold a LoRA adapter, as loaded by llama.cpp and Ollama along with a model (`--lora`).
 *
 *   general.type "adapter", adapter.type "lora", adapter.lora.alpha    W + alpha / r · B A, with r of each pair
 *   blk.0.attn_q.weight.lora_a [r, in]    .lora_b [out, r]             rows of B in the order of the model's rows in GGUF
 *   token_embd.weight.lora_a [rows, r]    .lora_b [width, r]           A transposed, since it is looked up by row
 *
 * A and B of GPT-2 have the same layout as those of other models, since GGUF's matrices do. (llama.cpp's own
 * converter transposes them, and llama.cpp then refuses the file.) A missing alpha or an alpha of 0 means a
 * scale of 1 there.
 */
import { byteLength, type Shape, showShape } from "../tensor/mod.ts";
import type { GgufFile } from "./gguf.ts";
import { architectureOf, headsOf } from "./gguf_config.ts";
import type { GgufValue } from "./gguf_metadata.ts";
import type { GgufContent } from "./gguf_model.ts";
import { type GgufArchitecture, ggufName, huggingFaceName, relayout } from "./gguf_names.ts";
import { fromInterleaved, reorderRows, toInterleaved, transposed } from "./relayout.ts";
import type { JsonObject, StoredTensor, WritableTensor } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** One adapted matrix, in Hugging Face's order of rows. */
export interface GgufLoraLayer<T = StoredTensor> {
  /** The layer's path in the checkpoint: `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  /** [r, in]; for an embedding [r, rows]. */
  readonly a: T;
  /** [out, r]; for an embedding [width, r]. */
  readonly b: T;
}

/** A LoRA adapter. */
export interface GgufLora<T = StoredTensor> {
  /** The scale of B A is alpha / r, or 1 if undefined. */
  readonly alpha: number | undefined;
  /** In the file's order. */
  readonly layers: readonly GgufLoraLayer<T>[];
}

/**
 * Views an open GGUF file as a LoRA adapter. Rows and axes are reordered when a tensor is read.
 *
 * @param config The config of the adapted model, as in `config.json`.
 * @throws {TypeError} when the file is not a LoRA adapter, or is one for another architecture.
 * @throws {RangeError} when a tensor has no partner, no place in the architecture, or a shape that does not
 * fit a factor.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, saveAdapter, smallConfig } from "@graft/peft";
 * import { ggufLora, openGguf } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const path = await Deno.makeTempFile({ suffix: ".gguf" });
 * await saveAdapter(path, adapt(model, lora({ rank: 2, alpha: 4 })), model);
 * const file = openGguf(path);
 * const { alpha, layers } = ggufLora(file, model.config);
 * assert.equal(alpha, 4);
 * assert.deepEqual(layers[0]!.a.shape, [2, 16]);
 * file.close();
 * await Deno.remove(path);
 * ```
 */
export function ggufLora({ metadata, tensors }: GgufFile, config: JsonObject): GgufLora {
  checkKind(metadata, architectureOf(config));
  const architecture = architectureOf(config);
  const alpha = metadata.get("adapter.lora.alpha") ?? 0;
  if (typeof alpha !== "number" || !Number.isFinite(alpha)) {
    throw rangeError("FILE_INVALID", `Expected adapter.lora.alpha to be a number but found ${alpha}`);
  }
  const stems = new Set([...tensors.keys()].map((name) => {
    const stem = /^(.+)\.lora_[ab]$/.exec(name)?.[1];
    if (stem !== undefined) return stem;
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this GGUF adapter: "${name}" is no factor (.lora_a or .lora_b)`,
    );
  }));
  const factor = (name: string): StoredTensor => {
    const found = tensors.get(name);
    if (found === undefined) {
      throw rangeError("ADAPTER_UNSUPPORTED", `Cannot load this GGUF adapter: "${name}" is missing`);
    }
    return found;
  };
  const layers = [...stems].map((stem) =>
    layerOf(architecture, config, stem, factor(`${stem}.lora_a`), factor(`${stem}.lora_b`))
  );
  return { alpha: alpha === 0 ? undefined : alpha, layers };
}

/** The file's labels besides its factors. */
export interface GgufLoraLabels {
  /** `general.name`. */
  readonly name?: string;
  /** The base model's name. */
  readonly base?: string;
}

/**
 * The content of an adapter's GGUF file, for `writeGguf`.
 *
 * @param config The config of the adapted model, as in `config.json`.
 * @throws {TypeError} when llama.cpp has no such architecture, or does not support adapters at one of the
 * layers.
 * @throws {RangeError} when alpha is 0 or not finite.
 * @example
 * ```ts
 * import { ggufLoraContent } from "@graft/peft/formats";
 * import { smallConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const zeros = (shape: readonly number[]) => ({
 *   name: "",
 *   dtype: "f32" as const,
 *   shape,
 *   byteLength: 4 * 2 * 16,
 *   read: () => new Uint8Array(4 * 2 * 16),
 * });
 * const layer = { path: "model.layers.0.mlp.down_proj", a: zeros([2, 16]), b: zeros([16, 2]) };
 * const { tensors } = ggufLoraContent({ alpha: 4, layers: [layer] }, smallConfig("llama"));
 * assert.deepEqual(tensors.map(({ name }) => name), [
 *   "blk.0.ffn_down.weight.lora_a",
 *   "blk.0.ffn_down.weight.lora_b",
 * ]);
 * ```
 */
export function ggufLoraContent(
  { alpha, layers }: GgufLora<WritableTensor> & { readonly alpha: number },
  config: JsonObject,
  labels: GgufLoraLabels = {},
): GgufContent {
  const architecture = architectureOf(config);
  if (alpha === 0 || !Number.isFinite(alpha)) {
    throw rangeError("FILE_INVALID", `Expected alpha to be a number other than 0 but found ${alpha}`);
  }
  const text = (value: string): GgufValue => ({ type: "string", value });
  const fields = new Map<string, GgufValue>([
    ["general.architecture", text(architecture)],
    ["general.type", text("adapter")],
    ["adapter.type", text("lora")],
    ...labels.name === undefined ? [] : [["general.name", text(labels.name)] as const],
    ...labels.base === undefined ? [] : [
      ["general.base_model.count", { type: "u32", value: 1 }] as const,
      ["general.base_model.0.name", text(labels.base)] as const,
    ],
    ["adapter.lora.alpha", { type: "f32", value: alpha }],
  ]);
  return { fields, tensors: layers.flatMap((layer) => stored(architecture, config, layer)) };
}

function checkKind(metadata: GgufFile["metadata"], architecture: GgufArchitecture): void {
  const general = metadata.get("general.type");
  if (general !== "adapter") {
    throw typeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this GGUF file as an adapter: expected general.type "adapter" but found ${
        general === undefined ? "none (a model)" : JSON.stringify(general)
      }`,
    );
  }
  const type = metadata.get("adapter.type");
  if (type !== "lora") {
    throw typeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this GGUF adapter: expected adapter.type "lora" but found ${type}`,
    );
  }
  if (metadata.has("adapter.alora.invocation_tokens")) {
    throw typeError(
      "ADAPTER_UNSUPPORTED",
      "Cannot load this GGUF adapter: activated LoRA, on only after given tokens, is not supported",
    );
  }
  const found = metadata.get("general.architecture");
  if (found !== architecture) {
    throw typeError(
      "ADAPTER_MISMATCH",
      `Cannot load this GGUF adapter: it is for architecture ${found}, but the model is ${architecture}`,
    );
  }
}

function layerOf(
  architecture: GgufArchitecture,
  config: JsonObject,
  stem: string,
  a: StoredTensor,
  b: StoredTensor,
): GgufLoraLayer {
  const name = stem.endsWith(".weight") ? huggingFaceName(architecture, stem) : undefined;
  if (name === undefined) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot load this GGUF adapter: a ${architecture} model has no matrix "${stem}"`,
    );
  }
  const lookedUp = stem === "token_embd.weight";
  const [rankA, rankB] = [a.shape[lookedUp ? 1 : 0], b.shape[1]];
  if (a.shape.length !== 2 || b.shape.length !== 2 || rankA !== rankB) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this GGUF adapter: the factors of "${stem}" do not fit together, A ${
        showShape(a.shape)
      } and B ${showShape(b.shape)}`,
    );
  }
  const change = relayout(architecture, stem);
  const interleaved = change === "interleave_q" || change === "interleave_k";
  return {
    path: name.slice(0, -".weight".length),
    a: lookedUp ? transposedTensor(a) : a,
    b: interleaved
      ? {
        ...b,
        read: () => {
          const from = fromInterleaved(`"${b.name}"`, b.shape, headsOf(config, change));
          return reorderRows(`"${b.name}"`, b.dtype, b.shape, b.read(), from);
        },
      }
      : b,
  };
}

function stored(
  architecture: GgufArchitecture,
  config: JsonObject,
  { path, a, b }: GgufLoraLayer<WritableTensor>,
): readonly WritableTensor[] {
  const stem = ggufName(architecture, `${path}.weight`);
  if (stem === undefined || stem === "position_embd.weight") {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot write this adapter to GGUF: llama.cpp applies none at "${path}"; merge the adapter and save the model`,
    );
  }
  const change = relayout(architecture, stem);
  const [nameA, nameB] = [`${stem}.lora_a`, `${stem}.lora_b`];
  return [
    stem === "token_embd.weight"
      ? {
        ...a,
        name: nameA,
        shape: a.shape.toReversed(),
        read: async () => transposed(nameA, a.dtype, a.shape, await a.read()),
      }
      : { ...a, name: nameA },
    change !== "interleave_q" && change !== "interleave_k" ? { ...b, name: nameB } : {
      ...b,
      name: nameB,
      read: async () => {
        const from = toInterleaved(nameB, b.shape, headsOf(config, change));
        return reorderRows(nameB, b.dtype, b.shape, await b.read(), from);
      },
    },
  ];
}

/** A matrix's transpose, computed when it is read. */
function transposedTensor(t: StoredTensor): StoredTensor {
  const shape: Shape = t.shape.toReversed();
  return {
    name: t.name,
    dtype: t.dtype,
    shape,
    byteLength: byteLength(t.dtype, shape),
    read: () => transposed(`"${t.name}"`, t.dtype, t.shape, t.read()),
  };
}
