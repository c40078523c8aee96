/** The fields of AdapterHub's configurations with their defaults, by architecture. */
import type { Json } from "../core/mod.ts";

/** Fields of one configuration. */
export type AdaptersFields = Readonly<Record<string, Json>>;

/** The kinds of configuration. */
export type Architecture = "bottleneck" | "prefix_tuning" | "prompt_tuning" | "lora" | "mtl_lora" | "reft";

/** What a configuration is that does not say it. */
export const STANDARD_ARCHITECTURE: Architecture = "bottleneck";

const BOTTLENECK: AdaptersFields = {
  mh_adapter: false,
  output_adapter: true,
  reduction_factor: 16,
  non_linearity: "relu",
  original_ln_before: false,
  original_ln_after: true,
  ln_before: false,
  ln_after: false,
  init_weights: "bert",
  init_weights_seed: null,
  is_parallel: false,
  scaling: 1,
  use_gating: false,
  residual_before_ln: true,
  adapter_residual_before_ln: false,
  inv_adapter: null,
  inv_adapter_reduction_factor: null,
  cross_adapter: false,
  leave_out: [],
  dropout: 0,
  phm_layer: false,
  phm_dim: 4,
  factorized_phm_W: true,
  shared_W_phm: false,
  shared_phm_rule: true,
  factorized_phm_rule: false,
  phm_c_init: "normal",
  phm_init_range: 0.0001,
  learn_phm: true,
  hypercomplex_nonlinearity: "glorot-uniform",
  phm_rank: 1,
  phm_bias: true,
  stochastic_depth: 0,
};

const LORA: AdaptersFields = {
  selfattn_lora: true,
  intermediate_lora: false,
  output_lora: false,
  leave_out: [],
  r: 8,
  alpha: 8,
  dropout: 0,
  attn_matrices: ["q", "v"],
  composition_mode: "add",
  init_weights: "lora",
  init_weights_seed: null,
  use_gating: false,
  use_dora: false,
  vera_d: null,
  vera_b: null,
  dtype: null,
};

/** Every field with its default, by architecture. */
export const ADAPTERS_FIELDS: Readonly<Record<Architecture, AdaptersFields>> = {
  bottleneck: BOTTLENECK,
  lora: LORA,
  mtl_lora: {
    ...LORA,
    n_up_projection: 1,
    task_specific_matrix_type: "singular_values",
    weights_sharpness: 0.05,
  },
  prefix_tuning: {
    encoder_prefix: true,
    cross_prefix: true,
    leave_out: [],
    flat: false,
    prefix_length: 30,
    bottleneck_size: 512,
    non_linearity: "tanh",
    dropout: 0,
    use_gating: false,
    shared_gating: true,
    init_weights_seed: null,
  },
  prompt_tuning: {
    prompt_length: 10,
    prompt_init: "random_uniform",
    prompt_init_text: null,
    random_uniform_scale: 0.5,
    combine: "prefix",
    init_weights_seed: null,
  },
  // "subtract_projection" and "at_most" are our additions: the library omits the first from its files and
  // ignores it when reading, so that its own DiReft is reloaded as NoReft; the second limits each end to half
  // of a text.
  reft: {
    layers: "all",
    prefix_positions: 3,
    suffix_positions: 0,
    r: 1,
    orthogonality: false,
    tied_weights: false,
    dropout: 0.05,
    non_linearity: null,
    dtype: null,
    output_reft: true,
    init_weights_seed: null,
    subtract_projection: true,
    at_most: "text",
  },
};
