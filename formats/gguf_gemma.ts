/**
 * Gemma and Gemma 3 in GGUF: the settings beyond Llama's in their configs and metadata. Some are fixed in
 * llama.cpp's code: five of six blocks of a Gemma 3 use a sliding window with positions of θ = 10000, and
 * scores are divided by the root of the head size.
 */
import type { GgufValue } from "./gguf_metadata.ts";
import type { JsonObject } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Number of blocks in a period, the last of which sees all keys. */
const PERIOD = 6;
/** θ of the blocks with a sliding window. */
const LOCAL_THETA = 10000;
/** Number of blocks of the largest Gemma 3, which divides by the root of width / heads instead. */
const LARGEST = 62;

/** Looks up a metadata value by its key below the architecture. */
export type GgufLookup = (key: string) => unknown;

/**
 * The fields in which a Gemma's config differs from a Llama's.
 *
 * @throws {RangeError} when scores are capped, which is not supported.
 */
export function gemmaFields(
  architecture: "gemma" | "gemma3",
  at: GgufLookup,
  { width, heads, headDim, layers }: {
    readonly width: number;
    readonly heads: number;
    readonly headDim: number;
    readonly layers: number;
  },
): JsonObject {
  for (const key of ["attn_logit_softcapping", "final_logit_softcapping"]) {
    if (Number(at(key) ?? 0) !== 0) {
      throw rangeError("FILE_UNSUPPORTED", `Cannot read this GGUF file: ${key} ${at(key)} is not supported`);
    }
  }
  if (architecture === "gemma") {
    return { model_type: "gemma", architectures: ["GemmaForCausalLM"], hidden_act: "gelu_pytorch_tanh" };
  }
  const pattern = at("attention.sliding_window_pattern") ?? PERIOD;
  return {
    model_type: "gemma3_text",
    architectures: ["Gemma3ForCausalLM"],
    hidden_activation: "gelu_pytorch_tanh",
    rope_theta: at("rope.freq_base") ?? 1e6,
    rope_local_base_freq: at("rope.freq_base_swa") ?? LOCAL_THETA,
    query_pre_attn_scalar: layers === LARGEST ? width / heads : headDim,
    sliding_window: at("attention.sliding_window") ?? null,
    ...(Array.isArray(pattern)
      ? { layer_types: pattern.map((looksBack) => looksBack ? "sliding_attention" : "full_attention") }
      : { sliding_window_pattern: pattern }),
  };
}

/**
 * Metadata of a Gemma 3's windows, keys without the architecture.
 *
 * @throws {TypeError} when the config differs from what llama.cpp computes.
 */
export function gemmaWindow(config: JsonObject): readonly (readonly [string, GgufValue])[] {
  if (config["model_type"] !== "gemma3_text") return [];
  const number = (name: string, otherwise: number): number => Number(config[name] ?? otherwise);
  const layers = number("num_hidden_layers", 0);
  const headDim = number("head_dim", 256);
  const scale = layers === LARGEST ? number("hidden_size", 0) / number("num_attention_heads", 1) : headDim;
  const types = config["layer_types"];
  const pattern = config["sliding_window_pattern"] ?? config["_sliding_window_pattern"] ?? PERIOD;
  const usual = Array.isArray(types)
    ? types.every((type, layer) => (type === "sliding_attention") === ((layer + 1) % PERIOD !== 0))
    : pattern === PERIOD;
  const reason = !usual
    ? "whose blocks that see all keys are not every sixth"
    : number("rope_local_base_freq", LOCAL_THETA) !== LOCAL_THETA
    ? `with rope_local_base_freq ${config["rope_local_base_freq"]}`
    : number("query_pre_attn_scalar", 256) !== scale
    ? `with query_pre_attn_scalar ${number("query_pre_attn_scalar", 256)} for heads of ${headDim}`
    : undefined;
  if (reason !== undefined) {
    throw typeError("CANNOT_SAVE", `Cannot write GGUF: a gemma3_text ${reason} is not supported`);
  }
  return [["attention.sliding_window", { type: "u32", value: number("sliding_window", 4096) }]];
}
