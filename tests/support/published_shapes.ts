/** Configs of published models, for counts. */
import type { ModelConfig } from "../../core/mod.ts";

/** A BERT with heads of 64. */
export const bertOf = (
  hidden_size: number,
  num_hidden_layers: number,
  vocab_size: number,
  architecture: "BertModel" | "BertForSequenceClassification" = "BertModel",
): ModelConfig => ({
  model_type: "bert",
  architectures: [architecture],
  ...{ hidden_size, num_hidden_layers, num_attention_heads: hidden_size / 64 },
  ...{ vocab_size, intermediate_size: 4 * hidden_size, max_position_embeddings: 512, type_vocab_size: 2 },
  ...architecture === "BertModel" ? {} : { num_labels: 2 },
});

/** A RoBERTa with heads of 64. */
export const robertaOf = (
  hidden_size: number,
  num_hidden_layers: number,
  architecture: "RobertaModel" | "RobertaForSequenceClassification" = "RobertaModel",
): ModelConfig => ({
  ...bertOf(hidden_size, num_hidden_layers, 50_265),
  ...{ model_type: "roberta", architectures: [architecture], pad_token_id: 1 },
  ...{ max_position_embeddings: 514, type_vocab_size: 1 },
  ...architecture === "RobertaModel" ? {} : { num_labels: 2 },
});

/** A T5 with heads of 64, of the first version or of the one with gates and a head of its own. */
export const t5Of = (
  d_model: number,
  num_layers: number,
  num_heads: number,
  d_ff: number,
  version: "1.0" | "1.1",
): ModelConfig => ({
  model_type: "t5",
  ...{ d_model, num_layers, num_heads, d_ff, d_kv: 64, vocab_size: 32_128 },
  ...version === "1.1" ? { feed_forward_proj: "gated-gelu", tie_word_embeddings: false } : {},
});

/** A LLaMA without grouped queries. */
export const llamaOf = (
  hidden_size: number,
  num_hidden_layers: number,
  heads: number,
  intermediate_size: number,
): ModelConfig => ({
  model_type: "llama",
  ...{ hidden_size, num_hidden_layers, num_attention_heads: heads, num_key_value_heads: heads },
  ...{ intermediate_size, vocab_size: 32_000, max_position_embeddings: 2048 },
  ...{ tie_word_embeddings: false, hidden_act: "silu" },
});

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

/** bert-base-uncased without a head: 109,482,240. */
export const BERT_BASE: ModelConfig = bertOf(768, 12, 30_522);

/** RoBERTa-base without a head: 124,645,632 with a pooler. */
export const ROBERTA_BASE: ModelConfig = robertaOf(768, 12);

/** RoBERTa-large without a head. */
export const ROBERTA_LARGE: ModelConfig = robertaOf(1024, 24);

/** LLaMA-7B: 6,738,415,616. */
export const LLAMA_7B: ModelConfig = llamaOf(4096, 32, 32, 11_008);

/** T0-3B: 2,849,757,184. */
export const T0_3B: ModelConfig = t5Of(2048, 24, 32, 5120, "1.1");

/** GPT2-medium: 354,823,168. */
export const GPT2_MEDIUM: ModelConfig = {
  model_type: "gpt2",
  ...{ n_embd: 1024, n_layer: 24, n_head: 16, vocab_size: 50_257, n_positions: 1024 },
};

/** BART as transformers builds it: learned positions of 2 more than 1024, a norm after the embeddings, tied tables. */
function bartSize(d: number, layers: number, vocabulary: number): number {
  const [attention, norm] = [4 * (d * d + d), 2 * d];
  const feedForward = d * 4 * d + 4 * d + 4 * d * d + d;
  const encoder = attention + feedForward + 2 * norm;
  const decoder = encoder + attention + norm;
  return layers * (encoder + decoder) + vocabulary * d + 2 * (1026 * d + norm);
}

/** A published model's name. */
export type PublishedModel =
  | "T5-base"
  | "bert-base-uncased"
  | "bert-base-cased"
  | "bert-large-cased"
  | "RoBERTa-base"
  | "RoBERTa-large"
  | "LLaMA-7B"
  | "T0-3B"
  | "GPT2-medium"
  | "BART-base"
  | "BART-large";

/** Sizes of published models without heads, tied tables once, poolers in; tests/io/model_shapes.test.ts counts them. */
export const SIZES: Readonly<Record<PublishedModel, number>> = {
  "T5-base": 222_903_552,
  "bert-base-uncased": 109_482_240,
  "bert-base-cased": 108_310_272,
  "bert-large-cased": 333_579_264,
  "RoBERTa-base": 124_645_632,
  "RoBERTa-large": 355_359_744,
  "LLaMA-7B": 6_738_415_616,
  "T0-3B": 2_849_757_184,
  "GPT2-medium": 354_823_168,
  "BART-base": bartSize(768, 6, 50_265),
  "BART-large": bartSize(1024, 12, 50_265),
};
