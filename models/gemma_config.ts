/** The settings of a Gemma `config.json`, with transformers' defaults for its model type. */
import type { ModelConfig, Tensor } from "../core/mod.ts";
import type { RopeScaling } from "../ops/mod.ts";
import { activationOf } from "./activation.ts";
import { blockCount, flag, optionalNumber, optionalSize, shareOf, size } from "./config.ts";
import { contextOf, ropeScalingOf } from "./llama_rope.ts";
import type { DecoderSizes } from "./rotary_decoder.ts";
import { rangeError } from "../errors/error.ts";

/** Rotary positions of some of the blocks. */
export interface Positions {
  /** Features of a head. */
  readonly headDim: number;
  /** θ. */
  readonly theta: number;
  /** How they are scaled. */
  readonly scaling: RopeScaling;
}

/** The settings that a pass and a spec need. */
export interface GemmaConfig extends DecoderSizes {
  /** For each block: how many keys before a query it sees, 0 for all. */
  readonly windows: readonly number[];
  /** Positions of the blocks that see all keys. */
  readonly global: Positions;
  /** Positions of the blocks with a sliding window. */
  readonly local: Positions;
  /** Scores are divided by the root of this. */
  readonly queryScale: number;
  /** Activation of the feed-forward part's gate. */
  readonly activation: (x: Tensor) => Tensor;
  /** Biases of the attention's layers. */
  readonly attentionBias: boolean;
  /** Gemma 3: norms after attention and feed-forward part, and of each head's queries and keys. */
  readonly third: boolean;
}

/**
 * Reads a config.
 *
 * @throws {TypeError | RangeError} when a number is missing or impossible, or the config specifies something
 * unsupported.
 */
export function gemmaConfig(config: ModelConfig): GemmaConfig {
  const third = config.model_type === "gemma3_text";
  for (const name of ["attn_logit_softcapping", "final_logit_softcapping"]) {
    if (optionalNumber(config, name) !== undefined) {
      throw rangeError(
        "MODEL_UNSUPPORTED",
        `Cannot run a ${config.model_type} with ${name} ${config[name]}: known is null`,
      );
    }
  }
  if (flag(config, "use_bidirectional_attention", false)) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run a ${config.model_type} with use_bidirectional_attention: known is attention to what came before`,
    );
  }
  const heads = size(config, "num_attention_heads");
  const keyValueHeads = optionalSize(config, "num_key_value_heads") ?? (third ? 4 : 16);
  if (keyValueHeads !== heads) {
    shareOf({ ...config, num_key_value_heads: keyValueHeads }, "num_attention_heads", "num_key_value_heads");
  }
  const headDim = optionalSize(config, "head_dim") ?? 256;
  if (headDim % 2 !== 0) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run heads of ${headDim} features: rotary positions turn them in pairs`,
    );
  }
  const layers = blockCount(config, "num_hidden_layers");
  const scaling = ropeScalingOf(config);
  const field = third ? "hidden_activation" : "hidden_act";
  return {
    width: size(config, "hidden_size"),
    layers,
    heads,
    keyValueHeads,
    headDim,
    inner: size(config, "intermediate_size"),
    vocabulary: size(config, "vocab_size"),
    context: contextOf({ max_position_embeddings: third ? 131_072 : 8192, ...config }, scaling),
    epsilon: optionalNumber(config, "rms_norm_eps") ?? 1e-6,
    windows: third ? windowsOf(config, layers) : Array.from({ length: layers }, () => 0),
    global: { headDim, theta: optionalNumber(config, "rope_theta") ?? (third ? 1e6 : 1e4), scaling },
    local: {
      headDim,
      theta: optionalNumber(config, "rope_local_base_freq") ?? 1e4,
      scaling: { type: "none" },
    },
    queryScale: third ? optionalNumber(config, "query_pre_attn_scalar") ?? 256 : headDim,
    activation: activationOf(field, config[field] ?? "gelu_pytorch_tanh"),
    attentionBias: flag(config, "attention_bias", false),
    third,
    tied: flag(config, "tie_word_embeddings", true),
  };
}

/**
 * Five of six blocks use a sliding window, or as given by `layer_types`. `sliding_window` includes the query
 * itself, the kernel's window only keys before it.
 */
function windowsOf(config: ModelConfig, layers: number): readonly number[] {
  const window = optionalSize(config, "sliding_window") ?? 4096;
  const pattern = optionalSize(config, "sliding_window_pattern") ??
    optionalSize(config, "_sliding_window_pattern") ??
    6;
  const types = config["layer_types"] as readonly string[] | null | undefined;
  if (Array.isArray(types) && types.length !== layers) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Expected "layer_types" in the config of gemma3_text to be ${layers} names but found ${types.length}`,
    );
  }
  const looksBack = (layer: number): boolean =>
    Array.isArray(types) ? types[layer] === "sliding_attention" : (layer + 1) % pattern !== 0;
  return Array.from({ length: layers }, (_, layer) => looksBack(layer) ? window - 1 : 0);
}
