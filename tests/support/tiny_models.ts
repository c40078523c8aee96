/** Small random models of awkward sizes, made from a key: the same numbers on every backend, but for rounding. */
import {
  type Backend,
  fold,
  type Key,
  key as keyOf,
  type Model,
  type ModelConfig,
  newModel,
  scope,
  type Shape,
  type Tensor,
} from "../../core/mod.ts";
import { architectureOf, taskConfig } from "../../models/mod.ts";
import { add, normal } from "../../ops/mod.ts";

/** Sizes of a tiny model. */
export interface TinySizes {
  readonly width?: number;
  readonly heads?: number;
  readonly keyValueHeads?: number;
  readonly headDim?: number;
  readonly inner?: number;
  readonly layers?: number;
  readonly vocabulary?: number;
}

/** A Llama with grouped queries whose heads do not fill the width. */
export function tinyLlama(backend: Backend, key: number | Key, sizes: TinySizes = {}): Model {
  return randomModel(backend, keyOf(key), {
    model_type: "llama",
    ...decoder({ heads: 4, keyValueHeads: 2, headDim: 4, ...sizes }),
    tie_word_embeddings: false,
  });
}

/** A Qwen3: a Llama whose heads' queries and keys are normalised, with a tied head. */
export function tinyQwen3(backend: Backend, key: number | Key, sizes: TinySizes = {}): Model {
  return randomModel(backend, keyOf(key), {
    model_type: "qwen3",
    ...decoder({ heads: 2, keyValueHeads: 1, headDim: 8, ...sizes }),
    tie_word_embeddings: true,
  });
}

/** A Gemma 3: norms behind each part and of the heads, a window in the first block, with a tied head. */
export function tinyGemma(backend: Backend, key: number | Key, sizes: TinySizes = {}): Model {
  return randomModel(backend, keyOf(key), {
    model_type: "gemma3_text",
    ...decoder({ heads: 2, keyValueHeads: 1, headDim: 8, ...sizes }),
    query_pre_attn_scalar: 7,
    sliding_window: 3,
    sliding_window_pattern: 2,
    rope_local_base_freq: 30,
  });
}

/** Fields that decoders with rotary positions share. */
const decoder = (
  { heads, keyValueHeads, headDim, width = 12, inner = 10, layers = 2, vocabulary = 11 }: TinySizes,
) => ({
  hidden_size: width,
  num_attention_heads: heads,
  num_key_value_heads: keyValueHeads,
  head_dim: headDim,
  intermediate_size: inner,
  num_hidden_layers: layers,
  vocab_size: vocabulary,
  max_position_embeddings: 32,
  rope_theta: 100,
});

/** A GPT-2: fused qkv, transposed matrices, biases, learned positions, tied head. */
export function tinyGpt2(backend: Backend, key: number | Key, sizes: TinySizes = {}): Model {
  return randomModel(backend, keyOf(key), {
    model_type: "gpt2",
    n_embd: sizes.width ?? 12,
    n_head: sizes.heads ?? 3,
    n_inner: sizes.inner ?? 14,
    n_layer: sizes.layers ?? 2,
    vocab_size: sizes.vocabulary ?? 11,
    n_positions: 32,
  });
}

/** A T5 whose attention is narrower than its states, with a tied head. */
export function tinyT5(backend: Backend, key: number | Key, sizes: TinySizes = {}): Model {
  return randomModel(backend, keyOf(key), {
    model_type: "t5",
    d_model: sizes.width ?? 12,
    num_heads: sizes.heads ?? 2,
    d_kv: sizes.headDim ?? 5,
    d_ff: sizes.inner ?? 10,
    num_layers: sizes.layers ?? 2,
    vocab_size: sizes.vocabulary ?? 11,
    relative_attention_num_buckets: 8,
    relative_attention_max_distance: 12,
    feed_forward_proj: "gated-gelu", // differences of the loss stumble over relu's corner
  });
}

/** A BERT or RoBERTa with a head for classes of a text, tags of its tokens, or words under masks. */
export function tinyBert(
  backend: Backend,
  key: number | Key,
  { family = "bert", head = "classify" }: {
    readonly family?: "bert" | "roberta";
    readonly head?: "classify" | "tag" | "mask";
  } = {},
): Model {
  const names = ["one", "two", "three"];
  const base = {
    model_type: family,
    hidden_size: 12,
    num_attention_heads: 3,
    intermediate_size: 10,
    num_hidden_layers: 2,
    vocab_size: 11,
    max_position_embeddings: 32,
    type_vocab_size: 2,
    tie_word_embeddings: true,
  };
  return randomModel(
    backend,
    keyOf(key),
    taskConfig(base, head === "mask" ? { kind: head } : { kind: head, names }),
  );
}

/** A model of a config with random weights, of a size that keeps all parts of a block alive. */
function randomModel(backend: Backend, key: Key, config: ModelConfig): Model {
  const { architecture, spec } = architectureOf(config);
  const matrix = (path: string, shape: Shape): readonly [string, Tensor] => [
    path,
    normal(fold(key, path), shape, backend, 1 / Math.sqrt(shape[1]!)),
  ];
  const vector = (path: string, n: number, mean: number): readonly [string, Tensor] => [
    path,
    add(normal(fold(key, path), [n], backend, 0.2), mean),
  ];
  const weights = scope(() =>
    Object.fromEntries([
      ...spec.linears.flatMap(({ path, inFeatures: n, outFeatures: m, transposed, bias }) => [
        matrix(`${path}.weight`, transposed ? [n, m] : [m, n]),
        ...bias ? [vector(`${path}.bias`, m, 0)] : [],
      ]),
      ...spec.norms.flatMap(({ path, width, bias, neutral = 1 }) => [
        vector(`${path}.weight`, width, neutral),
        ...bias ? [vector(`${path}.bias`, width, 0)] : [],
      ]),
      ...spec.embeddings.map(({ path, rows, width }) => matrix(`${path}.weight`, [rows, width])),
      ...spec.heads.flatMap(({ path, inFeatures, outFeatures, tiedTo, bias }) => [
        ...tiedTo === undefined ? [matrix(`${path}.weight`, [outFeatures, inFeatures])] : [],
        ...bias ? [vector(`${path}.bias`, outFeatures, 0)] : [],
      ]),
    ])
  );
  return newModel({ architecture, spec, config, weights: Object.entries(weights), backend });
}
