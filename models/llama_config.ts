/** The settings of a Llama-family `config.json`, with transformers' defaults for its model type. */
import type { ModelConfig } from "../core/mod.ts";
import type { RopeScaling } from "../ops/mod.ts";
import { blockCount, flag, optionalNumber, optionalSize, shareOf, size } from "./config.ts";
import { contextOf, ropeScalingOf } from "./llama_rope.ts";
import type { DecoderForm, DecoderSizes } from "./rotary_decoder.ts";
import { rangeError } from "../errors/error.ts";

/** The settings that a pass and a spec need. */
export interface LlamaConfig extends DecoderSizes {
  /** θ of the rotary positions. */
  readonly theta: number;
  /** How these are scaled. */
  readonly scaling: RopeScaling;
  /** For each block: whether it has rotary positions. */
  readonly rotary: readonly boolean[];
  /** For each block: how many keys before a query it sees, 0 for all. */
  readonly windows: readonly number[];
  /** Whether the heads' queries and keys are normalised. */
  readonly headNorms: boolean;
  /** Which layers have biases. */
  readonly biases: NonNullable<DecoderForm["biases"]>;
}

/**
 * Reads a config.
 *
 * @throws {TypeError | RangeError} when a number is missing or impossible, or the model is not supported.
 */
export function llamaConfig(config: ModelConfig): LlamaConfig {
  const activation = config["hidden_act"] ?? "silu";
  if (activation !== "silu" && activation !== "swish") {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run a ${config.model_type} with hidden_act ${JSON.stringify(activation)}: known is silu`,
    );
  }
  const type = config.model_type;
  const width = size(config, "hidden_size");
  const heads = size(config, "num_attention_heads");
  const keyValueHeads = optionalSize(config, "num_key_value_heads") ?? heads;
  if (keyValueHeads !== heads) shareOf(config, "num_attention_heads", "num_key_value_heads");
  const layers = blockCount(config, "num_hidden_layers");
  const headDim = optionalSize(config, "head_dim") ??
    (type === "qwen3" ? 128 : shareOf(config, "hidden_size", "num_attention_heads"));
  if (headDim % 2 !== 0) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run heads of ${headDim} features: rotary positions turn them in pairs`,
    );
  }
  const scaling = ropeScalingOf(config);
  const attentionBias = flag(config, "attention_bias", false);
  const rotary = rotaryOf(config, layers);
  return {
    width,
    layers,
    heads,
    keyValueHeads,
    headDim,
    inner: size(config, "intermediate_size"),
    vocabulary: size(config, "vocab_size"),
    context: contextOf(config, scaling),
    epsilon: optionalNumber(config, "rms_norm_eps") ?? 1e-6,
    theta: optionalNumber(config, "rope_theta") ?? (type === "smollm3" ? 2e6 : 10000),
    scaling,
    rotary,
    windows: windowsOf(config, rotary),
    headNorms: type === "qwen3",
    biases: {
      qkv: type === "qwen2" || attentionBias,
      output: type !== "qwen2" && attentionBias,
      feedForward: flag(config, "mlp_bias", false),
    },
    tied: flag(config, "tie_word_embeddings", type === "smollm3"),
  };
}

/**
 * SmolLM3 omits positions in every fourth block, or as given by `no_rope_layers`, where 1 means that a block
 * has them.
 */
function rotaryOf(config: ModelConfig, layers: number): readonly boolean[] {
  const blocks = Array.from({ length: layers }, (_, layer) => layer);
  if (config.model_type !== "smollm3") return blocks.map(() => true);
  const given = config["no_rope_layers"];
  if (given === undefined || given === null) {
    const interval = optionalSize(config, "no_rope_layer_interval") ?? 4;
    return blocks.map((layer) => (layer + 1) % interval !== 0);
  }
  if (!Array.isArray(given) || given.length !== layers || given.some((has) => has !== 0 && has !== 1)) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Expected "no_rope_layers" in the config of smollm3 to be ${layers} zeros and ones but found ${
        JSON.stringify(given)
      }`,
    );
  }
  return given.map((has) => has === 1);
}

/**
 * All of Mistral's blocks use a sliding window. Qwen's do if enabled, from block `max_window_layers` on, and
 * SmolLM3's where they have no positions; or where `layer_types` says so. Llama has none. `sliding_window`
 * includes the query itself, the kernel's window only keys before it.
 */
function windowsOf(config: ModelConfig, rotary: readonly boolean[]): readonly number[] {
  const type = config.model_type;
  const asked = (type === "qwen2" || type === "qwen3" || type === "smollm3") &&
    flag(config, "use_sliding_window", false);
  // Mistral's and Qwen's default; null means none.
  const given = config["sliding_window"] === undefined && type !== "smollm3"
    ? 4096
    : optionalSize(config, "sliding_window");
  if (given === undefined || (type !== "mistral" && !asked)) return rotary.map(() => 0);
  const types = config["layer_types"] as readonly string[] | null | undefined;
  const from = optionalNumber(config, "max_window_layers") ?? 28;
  const looksBack = (layer: number): boolean => {
    if (type === "mistral") return true;
    if (Array.isArray(types)) return types[layer] === "sliding_attention";
    return type === "smollm3" ? !rotary[layer] : layer >= from;
  };
  return rotary.map((_, layer) => looksBack(layer) ? given - 1 : 0);
}
