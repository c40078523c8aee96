/** Shapes of published models that several tests count. */

/** T5-base as published: 222,903,552 numbers. */
export const T5_BASE = {
  model_type: "t5",
  d_model: 768,
  d_kv: 64,
  d_ff: 3072,
  num_layers: 12,
  num_decoder_layers: 12,
  num_heads: 12,
  vocab_size: 32128,
  relative_attention_num_buckets: 32,
  feed_forward_proj: "relu",
  tie_word_embeddings: true,
  decoder_start_token_id: 0,
  pad_token_id: 0,
} as const;
