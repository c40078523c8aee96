/** Configs of models small enough for experiments: random weights, milliseconds per step. */
import type { ModelConfig } from "../core/mod.ts";

/** Sizes of a model, with the same names for every family. */
export interface SmallSizes {
  /** d, the size of a state; default 16. */
  readonly width?: number;
  /** Heads of an attention; default 2. */
  readonly heads?: number;
  /** Width of the feed-forward part; default twice the width. */
  readonly inner?: number;
  /** Number of blocks, for T5 in each stack; default 2. */
  readonly layers?: number;
  /** Size of the vocabulary; default 32. */
  readonly vocabulary?: number;
  /** Maximum number of tokens in a text; default 64. T5's texts have no limit. */
  readonly context?: number;
}

/**
 * The `config.json` of a small model of a family, for `freshModel`, to try methods, for examples and tests.
 * Embeddings and head are tied where the family ties them.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, generateIds, graft, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [ids] = await generateIds(graft(model, adapt(model, lora())), [[1, 2, 3]], { maxNewTokens: 4 });
 * assert.equal(ids!.length, 4);
 * ```
 */
export function smallConfig(
  family: "llama" | "gpt2" | "bert" | "t5",
  { width = 16, heads = 2, inner = 2 * width, layers = 2, vocabulary = 32, context = 64 }: SmallSizes = {},
): ModelConfig {
  switch (family) {
    case "gpt2":
      return {
        model_type: family,
        n_embd: width,
        n_head: heads,
        n_inner: inner,
        n_layer: layers,
        vocab_size: vocabulary,
        n_positions: context,
      };
    case "t5":
      return {
        model_type: family,
        d_model: width,
        num_heads: heads,
        d_kv: width / heads,
        d_ff: inner,
        num_layers: layers,
        vocab_size: vocabulary,
        relative_attention_num_buckets: 8,
        relative_attention_max_distance: 64,
        decoder_start_token_id: 0,
      };
    case "llama":
    case "bert":
      return {
        model_type: family,
        ...family === "llama" && { rms_norm_eps: 1e-5 },
        hidden_size: width,
        num_attention_heads: heads,
        intermediate_size: inner,
        num_hidden_layers: layers,
        vocab_size: vocabulary,
        max_position_embeddings: context,
        tie_word_embeddings: true,
      };
    default:
      return family satisfies never;
  }
}
