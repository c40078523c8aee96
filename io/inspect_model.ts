/** The content of a model's folder or GGUF file. */
import type { JsonObject, StoredTensor } from "../formats/tensor_file.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import type { GgufFile } from "../formats/gguf.ts";
import { isObject } from "../formats/strict_json.ts";
import { loadTokenizer } from "../formats/tokenizer.ts";
import { architectureOf } from "../models/mod.ts";
import { type Contents, contents, exists, readJson } from "./inspect_contents.ts";

/** A model's folder or GGUF file. */
export interface ModelDescription extends Contents {
  /** Discriminant of the union of descriptions. */
  readonly kind: "model";
  /** A Hugging Face folder, or a GGUF file. */
  readonly format: "folder" | "gguf";
  /** `model_type` of the config. */
  readonly architecture: string;
  /** Why `loadModel` would refuse its architecture; absent when it would not. */
  readonly refused?: string;
  /** How many blocks. */
  readonly layers?: number;
  /** d, the size of a state. */
  readonly width?: number;
  /** Query heads. */
  readonly heads?: number;
  /** Key and value heads. */
  readonly keyValueHeads?: number;
  /** Rows of the token table. */
  readonly vocabulary?: number;
  /** Maximum number of tokens in a text. */
  readonly context?: number;
  /** Whether the head uses the embedding's matrix. */
  readonly tiedHead: boolean;
  /** The quantization of a bitsandbytes folder, such as "nf4, double quantization". */
  readonly quantization?: string;
  /** Information on its tokenizer. */
  readonly tokenizer?: { readonly kind: string; readonly tokens: number; readonly chatTemplate: boolean };
}

/** Describes a folder that has a config.json. */
export async function inspectModelFolder(path: string): Promise<ModelDescription> {
  const checkpoint = openCheckpoint(path);
  try {
    const tokens = exists(`${path}/tokenizer.json`) ? await loadTokenizer(path) : undefined;
    const described = describeModel("folder", checkpoint.config, [...checkpoint.tensors.tensors.values()]);
    if (tokens === undefined) return described;
    const kind = (readJson(`${path}/tokenizer.json`)["model"] as JsonObject)["type"];
    return {
      ...described,
      tokenizer: { kind: String(kind), tokens: tokens.vocabSize, chatTemplate: hasTemplate(path) },
    };
  } finally {
    checkpoint.tensors.close();
  }
}

/** Describes an open GGUF file that names an architecture. */
export function inspectGgufModel(path: string, file: GgufFile): ModelDescription {
  const { metadata } = file;
  const stored = [...file.tensors.values()];
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const checkpoint = runnable(() => openCheckpoint(path));
  const described = checkpoint.value === undefined
    ? { ...describeModel("gguf", ggufOutline(metadata), stored), refused: checkpoint.refused! }
    : describeModel("gguf", checkpoint.value.config, stored);
  checkpoint.value?.tensors.close();
  return !Array.isArray(tokens) ? described : {
    ...described,
    tokenizer: {
      kind: String(metadata.get("tokenizer.ggml.model")),
      tokens: tokens.length,
      chatTemplate: metadata.has("tokenizer.chat_template"),
    },
  };
}

/** Metadata in the form of a config, for files with an unsupported architecture. */
function ggufOutline(metadata: ReadonlyMap<string, unknown>): JsonObject {
  const architecture = String(metadata.get("general.architecture"));
  const at = (key: string): unknown => metadata.get(`${architecture}.${key}`);
  return {
    model_type: architecture,
    num_hidden_layers: at("block_count"),
    hidden_size: at("embedding_length"),
    num_attention_heads: at("attention.head_count"),
    num_key_value_heads: at("attention.head_count_kv"),
    max_position_embeddings: at("context_length"),
  };
}

function describeModel(
  format: "folder" | "gguf",
  config: JsonObject,
  stored: readonly StoredTensor[],
): ModelDescription {
  const number = (...names: readonly string[]): number | undefined =>
    names.map((name) => config[name]).find((value): value is number => typeof value === "number");
  const given = {
    layers: number("num_hidden_layers", "n_layer", "num_layers"),
    width: number("hidden_size", "n_embd", "d_model"),
    heads: number("num_attention_heads", "n_head", "num_heads"),
    keyValueHeads: number("num_key_value_heads"),
    vocabulary: number("vocab_size"),
    context: number("max_position_embeddings", "n_positions", "n_ctx"),
    quantization: quantizationOf(config["quantization_config"]),
  };
  const type = config["model_type"];
  const known = runnable(() => architectureOf(config as { readonly model_type: string }));
  return {
    kind: "model",
    format,
    architecture: typeof type === "string" ? type : "unknown",
    ...known.refused !== undefined && { refused: known.refused },
    ...defined(given),
    tiedHead: config["tie_word_embeddings"] === true ||
      (type === "gpt2" && config["tie_word_embeddings"] !== false),
    ...contents(stored),
  };
}

function quantizationOf(config: unknown): string | undefined {
  if (!isObject(config)) return undefined;
  if (config["load_in_8bit"] === true) return `${config["quant_method"]} int8`;
  const doubled = config["bnb_4bit_use_double_quant"] === true ? " with double quantization" : "";
  return `${config["quant_method"]} ${config["bnb_4bit_quant_type"]}${doubled}`;
}

/**
 * A value, or why there is none, for content that may be valid but unsupported. Errors of damaged files are
 * not caught.
 */
function runnable<T>(f: () => T): { readonly value?: T; readonly refused?: string } {
  try {
    return { value: f() };
  } catch (error) {
    if (error instanceof SyntaxError || !(error instanceof TypeError || error instanceof RangeError)) {
      throw error;
    }
    return { refused: error.message };
  }
}

function hasTemplate(path: string): boolean {
  if (exists(`${path}/chat_template.jinja`)) return true;
  return exists(`${path}/tokenizer_config.json`) &&
    (readJson(`${path}/tokenizer_config.json`)["chat_template"] ?? null) !== null;
}

const defined = <T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
