/** Fields of configs that count something, so that each has a bound (`MOST` of core). */
import type { CountedFields } from "../core/mod.ts";

/** PEFT's. */
const COMMON: CountedFields = {
  r: "rank",
  init_r: "rank",
  target_r: "rank",
  hybrid_r: "rank",
  mini_r: "rank",
  num_ranks: "rank",
  rank_pattern: "rank",
  effective_rank: "rank",
  num_virtual_tokens: "prompt",
  adapter_len: "prompt",
  num_transformer_submodules: "depth",
  num_layers: "blocks",
  adapter_layers: "blocks",
  layers_to_transform: "blocks",
  layer_replication: "blocks",
  num_attention_heads: "width",
  token_dim: "width",
  encoder_hidden_size: "width",
  encoder_num_layers: "depth",
  num_tasks: "tasks",
  prompt_tuning_init_task: "tasks",
  n_tasks: "tasks",
  n_skills: "parts",
  n_splits: "width",
  oft_block_size: "width",
  boft_block_size: "width",
  boft_block_num: "width",
  boft_n_butterfly_factor: "depth",
  num_cayley_neumann_terms: "terms",
  loftq_iter: "terms",
  loftq_bits: "terms",
  qalora_group_size: "width",
  n_frequency: "entries",
  n_frequency_pattern: "entries",
  block_size: "width",
  block_size_pattern: "width",
  group_size: "width",
  gralora_k: "width",
  num_B: "parts",
  stride_A: "blocks",
  num_vectors: "vocabulary",
  vector_length: "width",
  topk: "parts",
  theta_d_length: "entries",
  u: "entries",
  depth: "depth",
  decompose_factor: "width",
  hidden_size: "width",
  xlora_depth: "depth",
  xlora_size: "width",
  top_k_lora: "parts",
  cpt_token_ids: "vocabulary",
  cpt_tokens_type_mask: "vocabulary",
  trainable_token_indices: "vocabulary",
  token_indices: "vocabulary",
};

/** Types whose matrices of rank r may be drawn from a seed. */
const DRAWN: readonly string[] = ["VERA", "PVERA", "RANDLORA", "UNILORA"];

/** The counts in a PEFT config of this type. LoKr's rank has no bound: any value above a layer's sizes requests full factors. */
export function peftCounts(type: string): CountedFields {
  if (DRAWN.includes(type)) return { ...COMMON, r: "drawnRank" };
  if (type !== "LOKR") return COMMON;
  const { r: _, rank_pattern: __, ...others } = COMMON;
  return others;
}

/** Of AdapterHub's folders: adapters, heads, setups and fusions. */
export const ADAPTERS_COUNTS: CountedFields = {
  r: "rank",
  phm_rank: "rank",
  phm_dim: "factors",
  prefix_length: "prompt",
  prompt_length: "prompt",
  prefix_positions: "prompt",
  suffix_positions: "prompt",
  bottleneck_size: "width",
  hidden_size: "width",
  embedding_size: "width",
  layers: "blocks",
  n_up_projection: "parts",
  num_labels: "classes",
  label2id: "classes",
  vocab_size: "vocabulary",
  splits: "positions",
  batch_sizes: "positions",
};

/** Of GGUF metadata, without the architecture in front. */
export const GGUF_COUNTS: CountedFields = {
  block_count: "blocks",
  context_length: "positions",
  embedding_length: "width",
  feed_forward_length: "width",
  "attention.head_count": "width",
  "attention.head_count_kv": "width",
  "attention.key_length": "width",
  "attention.value_length": "width",
  "attention.sliding_window": "positions",
  "rope.dimension_count": "width",
  "rope.scaling.original_context_length": "positions",
  vocab_size: "vocabulary",
  expert_count: "parts",
  "tokenizer.ggml.bos_token_id": "vocabulary",
  "tokenizer.ggml.eos_token_id": "vocabulary",
  "tokenizer.ggml.unknown_token_id": "vocabulary",
  "tokenizer.ggml.padding_token_id": "vocabulary",
};
