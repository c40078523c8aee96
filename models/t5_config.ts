/** The settings of a T5 `config.json`: the original, v1.1 and FLAN, and mT5. */
import type { ModelConfig, Tensor } from "../core/mod.ts";
import { activationOf } from "./activation.ts";
import { blockCount, flag, optionalNumber, size } from "./config.ts";
import { rangeError } from "../errors/error.ts";

/** See the module comment. */
export interface T5Config {
  readonly width: number;
  readonly heads: number;
  /** Not width / heads: the attention may be wider or narrower than the states. */
  readonly headDim: number;
  readonly inner: number;
  readonly layers: { readonly encoder: number; readonly decoder: number };
  readonly vocabulary: number;
  readonly buckets: number;
  readonly farthest: number;
  readonly epsilon: number;
  /** "gated": act(gate x) ⊙ up x, as in v1.1. "plain": act(up x). */
  readonly feedForward: "gated" | "plain";
  readonly activation: (x: Tensor) => Tensor;
  readonly tied: boolean;
  readonly start: number;
  readonly pad: number;
}

/** @throws {RangeError} when the config specifies something unsupported; the message names it. */
export function t5Config(config: ModelConfig): T5Config {
  const name = (config["architectures"] as readonly string[] | null | undefined)?.[0] ?? "";
  if (!/^$|ForConditionalGeneration$|WithLMHeadModel$/.test(name)) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run ${name}: the known class is T5ForConditionalGeneration`,
    );
  }
  const layers = blockCount(config, "num_layers");
  const own = config["num_decoder_layers"] ?? undefined;
  const pad = optionalNumber(config, "pad_token_id") ?? 0;
  return {
    width: size(config, "d_model"),
    heads: size(config, "num_heads"),
    headDim: size(config, "d_kv"),
    inner: size(config, "d_ff"),
    layers: {
      encoder: layers,
      decoder: own === undefined ? layers : blockCount(config, "num_decoder_layers"),
    },
    vocabulary: size(config, "vocab_size"),
    buckets: optionalNumber(config, "relative_attention_num_buckets") ?? 32,
    farthest: optionalNumber(config, "relative_attention_max_distance") ?? 128,
    epsilon: optionalNumber(config, "layer_norm_epsilon") ?? 1e-6,
    ...feedForwardOf(config),
    tied: flag(config, "tie_word_embeddings", config.model_type !== "mt5"),
    start: optionalNumber(config, "decoder_start_token_id") ?? pad,
    pad,
  };
}

/** "relu", "gated-gelu" (with the tanh approximation of gelu) and so on. */
function feedForwardOf(config: ModelConfig): Pick<T5Config, "feedForward" | "activation"> {
  const name = String(config["feed_forward_proj"] ?? (config.model_type === "mt5" ? "gated-gelu" : "relu"));
  const plain = name.replace(/^gated-/, "");
  return {
    feedForward: plain === name ? "plain" : "gated",
    activation: activationOf("feed_forward_proj", name === "gated-gelu" ? "gelu_new" : plain),
  };
}
