/** The kinds of parts that AdapterHub's configurations describe. */
import type { PartKind } from "./layout.ts";

/** What most kinds can be multiplied by. */
const SENTENCE: readonly string[] = ["sentence-gate"];

/** Bottleneck adapters. */
export const BOTTLENECK: PartKind = {
  name: "bottleneck",
  part: "adapter",
  blocks: ["Average", "Split"],
  gates: SENTENCE,
  wired: true,
};

/** Invertible adapters, whose fields are a bottleneck's. */
export const INVERTIBLE: PartKind = {
  name: "invertible",
  part: "invertible",
  blocks: ["Average"],
  gates: SENTENCE,
  ofTheFirst: true,
  joins: {
    kind: BOTTLENECK,
    shared: ["non_linearity"],
    fields: (own) => ({
      inv_adapter: "nice",
      inv_adapter_reduction_factor: own["inv_adapter_reduction_factor"]!,
    }),
  },
};

/** Prefixes. */
export const PREFIX: PartKind = {
  name: "prefix",
  part: "prefix",
  blocks: [],
  gates: [...SENTENCE, "key-value-gate"],
  padded: true,
};

/** Prompts. */
export const PROMPT: PartKind = {
  name: "prompt",
  part: "prompt",
  blocks: ["Average"],
  gates: SENTENCE,
  ofTheFirst: true,
};

/** LoRA, its variants and (IA)³ on layers of their own. */
export const LORA: PartKind = {
  name: "lora",
  part: "lora",
  blocks: ["Average"],
  gates: SENTENCE,
  onLayers: true,
  scales: true,
};

/** The same on parts of a fused projection. */
export const FUSED: PartKind = {
  name: "fused",
  part: "attention",
  blocks: [],
  gates: SENTENCE,
  onLayers: true,
  joins: {
    kind: LORA,
    shared: ["r", "alpha", "dropout", "composition_mode", "use_gating", "leave_out", "use_dora"],
    fields: (own) => ({ selfattn_lora: true, attn_matrices: own["attn_matrices"]! }),
  },
};

/** ReFT. */
export const REFT: PartKind = {
  name: "reft",
  part: "reft",
  blocks: ["Average"],
  gates: SENTENCE,
  ofTheFirst: true,
};
