/** A Hugging Face `config.json` from GGUF metadata, and the metadata from a config. */
import type { GgufArchitecture } from "./gguf_names.ts";
import { gemmaFields, gemmaWindow } from "./gguf_gemma.ts";
import type { GgufValue } from "./gguf_metadata.ts";
import { ropeFields, ropeScaling } from "./gguf_rope.ts";
import type { JsonObject } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Facts about a model that follow from its tensors rather than its metadata. */
export interface TensorFacts {
  /** Rows of the token embedding. */
  readonly vocabulary: number;
  /** Whether there is a separate output matrix. */
  readonly head: boolean;
  /** Whether q, k and v have biases. */
  readonly attentionBias: boolean;
  /** The divisors of the rotary frequencies, when the file contains them (Llama 3). */
  readonly ropeFactors?: Float32Array;
}

const ARCHITECTURES = [
  "llama",
  "qwen2",
  "qwen3",
  "smollm3",
  "gemma",
  "gemma3",
  "gpt2",
] as const satisfies readonly GgufArchitecture[];

/**
 * The architecture of a GGUF file.
 *
 * @throws {TypeError} when it is not supported.
 */
export function ggufArchitecture(metadata: ReadonlyMap<string, unknown>): GgufArchitecture {
  const found = metadata.get("general.architecture");
  const known = ARCHITECTURES.find((name) => name === found);
  if (known === undefined) {
    throw typeError(
      "FILE_UNSUPPORTED",
      `Cannot read this GGUF file: expected architecture ${ARCHITECTURES.slice(0, -1).join(", ")} or ${
        ARCHITECTURES.at(-1)
      } but found ${found}`,
    );
  }
  if (Number(metadata.get(`${known}.expert_count`) ?? 0) === 0) return known;
  throw typeError("FILE_UNSUPPORTED", `Cannot read this GGUF file: mixtures of experts are not supported`);
}

/**
 * The config that transformers would have written for the model in a GGUF file.
 *
 * @throws {RangeError} when a required number is missing or differs between layers.
 */
export function configFromGguf(metadata: ReadonlyMap<string, unknown>, facts: TensorFacts): JsonObject {
  const architecture = ggufArchitecture(metadata);
  const at = (key: string): unknown => metadata.get(`${architecture}.${key}`);
  const number = (key: string, otherwise?: number): number => {
    const value = at(key) ?? otherwise;
    if (typeof value === "number") return value;
    throw rangeError(
      "FILE_INVALID",
      `Expected metadata ${architecture}.${key} to be a number but found ${value}`,
    );
  };
  const token = (name: string): unknown => metadata.get(`tokenizer.ggml.${name}_token_id`);
  const tokens = Object.fromEntries(
    [["bos", "bos"], ["eos", "eos"], ["padding", "pad"], ["unknown", "unk"]]
      .filter(([name]) => token(name!) !== undefined)
      .map(([name, short]) => [`${short}_token_id`, token(name!)]),
  );
  const common = { vocab_size: facts.vocabulary, tie_word_embeddings: !facts.head, ...tokens };
  const width = number("embedding_length");
  const heads = number("attention.head_count");
  if (architecture === "gpt2") {
    return {
      model_type: "gpt2",
      architectures: ["GPT2LMHeadModel"],
      n_layer: number("block_count"),
      n_ctx: number("context_length"),
      n_positions: number("context_length"),
      n_embd: width,
      n_head: heads,
      n_inner: number("feed_forward_length", 4 * width),
      layer_norm_epsilon: number("attention.layer_norm_epsilon"),
      activation_function: "gelu_new",
      ...common,
    };
  }
  const window = at("attention.sliding_window") ?? null;
  const mistral = architecture === "llama" &&
    (typeof window === "number" ||
      [metadata.get("general.name"), metadata.get("general.basename")].some((n) =>
        /mistral/i.test(String(n))
      ));
  const scaling = ropeScaling(architecture, metadata, facts.ropeFactors);
  const headDim = number("attention.key_length", number("rope.dimension_count", width / heads));
  const layers = number("block_count");
  const shape = {
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: number("attention.head_count_kv", heads),
    head_dim: headDim,
    intermediate_size: number("feed_forward_length"),
    rms_norm_eps: number("attention.layer_norm_rms_epsilon"),
    rope_theta: number("rope.freq_base", 10000),
    rope_scaling: scaling,
    max_position_embeddings: number("context_length"),
  };
  if (architecture === "gemma" || architecture === "gemma3") {
    return { ...shape, ...gemmaFields(architecture, at, { width, heads, headDim, layers }), ...common };
  }
  const type = mistral ? "mistral" : architecture;
  return {
    model_type: type,
    architectures: [
      {
        llama: "LlamaForCausalLM",
        mistral: "MistralForCausalLM",
        qwen2: "Qwen2ForCausalLM",
        qwen3: "Qwen3ForCausalLM",
        smollm3: "SmolLM3ForCausalLM",
      }[type],
    ],
    ...shape,
    hidden_act: "silu",
    ...(architecture === "qwen2" ? {} : { attention_bias: facts.attentionBias }),
    ...(architecture === "llama" || architecture === "smollm3" ? { mlp_bias: false } : {}),
    ...(mistral ? { sliding_window: window } : {}),
    ...common,
  };
}

/**
 * GGUF metadata of a Hugging Face config, without the tokenizer's.
 *
 * @throws {TypeError} when GGUF cannot express the model, or a required field is missing.
 */
export function ggufFromConfig(config: JsonObject): ReadonlyMap<string, GgufValue> {
  const architecture = architectureOf(config);
  const integer = (key: string, otherwise?: number): GgufValue => ({
    type: "u32",
    value: numberOf(config, key, otherwise),
  });
  const real = (key: string, otherwise?: number): GgufValue => ({
    type: "f32",
    value: numberOf(config, key, otherwise),
  });
  const own: readonly (readonly [string, GgufValue])[] = architecture === "gpt2"
    ? [
      ["context_length", integer("n_positions")],
      ["embedding_length", integer("n_embd")],
      ["block_count", integer("n_layer")],
      ["feed_forward_length", {
        type: "u32",
        value: config["n_inner"] === null
          ? 4 * numberOf(config, "n_embd")
          : numberOf(config, "n_inner", 4 * numberOf(config, "n_embd")),
      }],
      ["attention.head_count", integer("n_head")],
      ["attention.layer_norm_epsilon", real("layer_norm_epsilon", 1e-5)],
    ]
    : [
      ["context_length", integer("max_position_embeddings")],
      ["embedding_length", integer("hidden_size")],
      ["block_count", integer("num_hidden_layers")],
      ["feed_forward_length", integer("intermediate_size")],
      ["attention.head_count", integer("num_attention_heads")],
      ["attention.head_count_kv", integer("num_key_value_heads", keyValueHeads(config))],
      ["attention.layer_norm_rms_epsilon", real("rms_norm_eps")],
      ["vocab_size", integer("vocab_size")],
      ["rope.dimension_count", { type: "u32", value: headDim(config) }],
      ["attention.key_length", { type: "u32", value: headDim(config) }],
      ["attention.value_length", { type: "u32", value: headDim(config) }],
      ["rope.freq_base", real("rope_theta", { smollm3: 2e6, gemma3: 1e6 }[architecture as string] ?? 10000)],
      ...ropeFields(config),
      ...windowFields(config),
      ...gemmaWindow(config),
    ];
  return new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: architecture }],
    ["general.type", { type: "string", value: "model" }],
    ...own.map(([key, value]) => [`${architecture}.${key}`, value] as [string, GgufValue]),
  ]);
}

/**
 * The GGUF architecture of a Hugging Face config.
 *
 * @throws {TypeError} when there is none that we can write.
 */
export function architectureOf(config: JsonObject): GgufArchitecture {
  const type = config["model_type"];
  if (config["mlp_bias"] === true) {
    throw typeError("CANNOT_SAVE", `Cannot write GGUF: biases in the feed-forward part are not supported`);
  }
  switch (type) {
    case "llama":
    case "mistral":
      return "llama";
    case "qwen3":
    case "smollm3":
      if (config["attention_bias"] === true) {
        throw typeError("CANNOT_SAVE", `Cannot write GGUF: a ${type} with attention_bias is not supported`);
      }
      if (type === "smollm3") checkRotary(config);
      return type;
    case "gemma":
    case "gemma3_text":
      if (config["attention_bias"] === true) {
        throw typeError("CANNOT_SAVE", `Cannot write GGUF: a ${type} with attention_bias is not supported`);
      }
      return type === "gemma" ? "gemma" : "gemma3";
    case "qwen2":
    case "gpt2":
      return type;
    default:
      throw typeError(
        "CANNOT_SAVE",
        "Cannot write GGUF: expected model_type llama, mistral, qwen2, qwen3, smollm3, gemma, gemma3_text or gpt2 but found " +
          `${type}`,
      );
  }
}

/** llama.cpp omits positions in every fourth block of a SmolLM3, whatever the file says. */
function checkRotary({ no_rope_layers: given, no_rope_layer_interval: interval = 4 }: JsonObject): void {
  const fourth = Array.isArray(given)
    ? given.every((has, layer) => has === Number((layer + 1) % 4 !== 0))
    : interval === 4;
  if (!fourth) {
    throw typeError(
      "CANNOT_SAVE",
      "Cannot write GGUF: a smollm3 whose blocks without positions are not every fourth is not supported",
    );
  }
}

/** Mistral's window. @throws {TypeError} where only some blocks have one. */
function windowFields(config: JsonObject): readonly (readonly [string, GgufValue])[] {
  const type = String(config["model_type"]);
  if (["qwen2", "qwen3", "smollm3"].includes(type) && config["use_sliding_window"] === true) {
    throw typeError("CANNOT_SAVE", `Cannot write GGUF: a ${type} with use_sliding_window is not supported`);
  }
  const window = config["sliding_window"];
  if (type !== "mistral" || typeof window !== "number") return [];
  return [["attention.sliding_window", { type: "u32", value: window }]];
}

/** A number of a config. @throws {TypeError} when it is not a number. */
export function numberOf(config: JsonObject, key: string, otherwise?: number): number {
  const value = config[key] ?? otherwise;
  if (typeof value !== "number") {
    throw typeError("FILE_INVALID", `Expected config field "${key}" to be a number but found ${value}`);
  }
  return value;
}

/** Width of one attention head. */
export function headDim(config: JsonObject): number {
  const heads = numberOf(config, "num_attention_heads");
  const share = numberOf(config, "hidden_size") / heads;
  const usual = { qwen3: 128, gemma: 256, gemma3_text: 256 }[String(config["model_type"])];
  return numberOf(config, "head_dim", usual ?? share);
}

/** The number of key heads, with the default where a config does not give it. */
function keyValueHeads(config: JsonObject): number {
  return { gemma: 16, gemma3_text: 4 }[String(config["model_type"])] ??
    numberOf(config, "num_attention_heads");
}

/** Number of heads in the rows of q, or of k. */
export function headsOf(config: JsonObject, change: "interleave_q" | "interleave_k"): number {
  const heads = numberOf(config, "num_attention_heads");
  return change === "interleave_q" ? heads : numberOf(config, "num_key_value_heads", heads);
}
