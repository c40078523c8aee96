/** The settings of each method in `deno task gain`, and why some do not reach half of LoRA's gain. */
import type { JsonOptions } from "../core/options/option_json.ts";

/** The common run: just long enough to show whether a method learns. */
export const SETTINGS = {
  steps: 80,
  batchSize: 2,
  examples: 208,
  heldOut: 24,
  maxLength: 256,
  seed: 0,
} as const;

/**
 * Peak rates suited to such a short run of such a small model, the likeliest first. The others use ten and
 * thirty times the rates that papers use for thousands of steps on large models.
 */
export const RATES: Readonly<Partial<Record<string, readonly number[]>>> = {
  "lora": [8e-3],
  "qlora": [8e-3],
  "lora-plus": [2e-3, 5e-3],
  "full-fine-tune": [1.5e-3],
  "top-layers": [2e-3, 5e-3],
  "only": [3e-3, 1e-2],
  "diff-pruning": [2e-2, 5e-3],
  "lt-sft": [2e-3, 1e-2],
  "far": [3e-3, 1e-2],
  "fish-mask": [5e-3, 2e-2],
  "ia3": [0.1, 0.3],
  "layer-norm-tune": [0.1, 3e-2],
  "bitfit": [2e-2, 5e-2],
  "trainable-tokens": [3e-2],
  "vera": [5e-2, 0.15],
  "fourierft": [0.1, 0.03, 0.3],
  "prefix-tuning": [3e-3, 1e-3],
  "prompt-tuning": [3e-2, 0.1],
  "spot": [3e-2, 0.1],
  "p-tuning": [1e-2, 3e-3],
  "intrinsic-said": [1e-2, 3e-2],
  "vb-lora": [3e-2],
  "uni-lora": [3e-2, 0.1, 0.3],
  "tiny-lora": [5e-3, 3e-3],
  "pvera": [5e-2, 2e-2],
  "delora": [3e-2],
  "waveft": [3e-3, 1e-3],
  "beft": [0.3, 0.2],
  "multitask-prompt-tuning": [0.3, 0.1],
  "llama-adapter": [9e-2, 3e-2],
  "context-prompt-tuning": [3e-2, 0.1],
};

/** Options that a method needs here. */
export const OPTIONS: Readonly<
  Partial<
    Record<
      string,
      { readonly targets?: readonly string[]; readonly dimension?: number; readonly options?: JsonOptions }
    >
  >
> = {
  "only": { targets: ["self_attn.v_proj.weight", "self_attn.o_proj.weight"] },
  // The embedding is also the head: Adam moves its rows of absent tokens as far as any others, and projection
  // would keep those.
  "diff-pruning": { options: { frozen: ["embed_tokens.weight"] } },
  // α = 150 and an initialization of N(0, 1) suit matrices of 768² and more; on 192² they overwhelm the
  // weights.
  "fourierft": { options: { initialization: "zeros" } },
  "trainable-tokens": { options: { tokens: Array.from({ length: 64 }, (_, i) => i) } },
  // The initialization that the paper found best for small models.
  "prompt-tuning": { options: { start: { from: "vocabulary" } } },
  "uni-lora": { options: { dimension: 5000 } },
  "context-prompt-tuning": { options: { tokens: Array.from({ length: 20 }, (_, i) => 100 + i) } },
  "intrinsic-said": { dimension: 5000, options: { blocks: "vector" } },
};

/**
 * Adapters that a method is made of: the number and method, each trained first in a usual run on its own
 * conversations, and the option that takes them.
 */
export const SOURCES: Readonly<
  Partial<Record<string, { readonly option: string; readonly method: string; readonly count: number }>>
> = {
  "adapter-fusion": { option: "adapters", method: "pfeiffer", count: 2 },
  "xlora": { option: "experts", method: "lora", count: 2 },
  "spot": { option: "sources", method: "prompt-tuning", count: 1 },
  "ipt": { option: "sources", method: "prompt-tuning", count: 2 },
};

/** Why a method does not reach half of the gain, or does not run. */
export const REASONS: Readonly<Record<string, string>> = {
  "cross-attention": "the model has no encoder to attend to",
  "trainable-tokens": "it is meant for new tokens: 64 rows of the table cannot tell how to summarize",
  "prompt-tuning": "rows at the entrance alone; the paper gives them 30,000 steps, here they have 80",
  "p-tuning":
    "rows at the entrance alone, behind a fresh recurrent network; the authors train for thousands of steps",
  "spot": "it goes on from a trained prompt, and as slowly as prompt tuning does",
  "ipt":
    "250 numbers in front of a fresh decoder: the paper trains that decoder first, on many tasks for 100,000 steps",
  "attention-fusion":
    "one vector of 192 numbers chooses among the layers' states, which the head reads as they are",
  "layer-norm-tune": "2,112 gains stretch the directions that are there and turn none",
  "ia3": "scales of keys, values and inner units stretch what is there and turn none",
  "tiny-lora": "2,240 numbers along the leading directions of the weights stretch what is there",
  "beft": "320 shifts of the values move what is there and turn none",
  "pvera":
    "its middle starts as noise of deviation one around means a tenth as wide, which 80 steps do not tell apart",
  "multitask-prompt-tuning": "rows at the entrance alone, and one task: the paper shares them among many",
  "context-prompt-tuning": "offsets of 20 tokens at the entrance, which stay within bounds",
  "llama-adapter":
    "ten rows per block behind gates that start shut; the authors go through 52,000 texts five times",
  "loreft": "it edits 14 positions of the prompt; the summary's own tokens see them by attention alone",
};
