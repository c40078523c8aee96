/**
 * Tensor names of GGUF files and of Hugging Face checkpoints, for the architectures we know. `{}` is the
 * layer; names end with `.weight` or `.bias` in both.
 */

/** `general.architecture` values that are supported. Mistral models are stored as "llama". */
export type GgufArchitecture = "llama" | "qwen2" | "qwen3" | "smollm3" | "gemma" | "gemma3" | "gpt2";

const LLAMA: readonly (readonly [string, string])[] = [
  ["token_embd", "model.embed_tokens"],
  ["output_norm", "model.norm"],
  ["output", "lm_head"],
  ["blk.{}.attn_norm", "model.layers.{}.input_layernorm"],
  ["blk.{}.attn_q", "model.layers.{}.self_attn.q_proj"],
  ["blk.{}.attn_k", "model.layers.{}.self_attn.k_proj"],
  ["blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"],
  ["blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"],
  ["blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"],
  ["blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"],
  ["blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"],
  ["blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"],
];

const QWEN3: readonly (readonly [string, string])[] = [
  ...LLAMA,
  ["blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"],
  ["blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"],
];

const GEMMA3: readonly (readonly [string, string])[] = [
  ...QWEN3.filter(([name]) => name !== "blk.{}.ffn_norm"),
  ["blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"],
  ["blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm"],
  ["blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"],
];

const GPT2: readonly (readonly [string, string])[] = [
  ["token_embd", "transformer.wte"],
  ["position_embd", "transformer.wpe"],
  ["output_norm", "transformer.ln_f"],
  ["output", "lm_head"],
  ["blk.{}.attn_norm", "transformer.h.{}.ln_1"],
  ["blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn"],
  ["blk.{}.attn_output", "transformer.h.{}.attn.c_proj"],
  ["blk.{}.ffn_norm", "transformer.h.{}.ln_2"],
  ["blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc"],
  ["blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj"],
];

/**
 * The Hugging Face name of a GGUF tensor; undefined when the architecture has no such tensor.
 *
 * @example
 * ```ts
 * import { huggingFaceName } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(huggingFaceName("llama", "blk.3.attn_q.weight"), "model.layers.3.self_attn.q_proj.weight");
 * assert.equal(huggingFaceName("llama", "blk.3.nothing.weight"), undefined);
 * ```
 */
export function huggingFaceName(architecture: GgufArchitecture, name: string): string | undefined {
  return renamed(table(architecture), /^(blk)\.(\d+)\./, name);
}

/**
 * The GGUF name of a Hugging Face tensor; undefined when the architecture has no such tensor.
 *
 * @example
 * ```ts
 * import { ggufName } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(ggufName("llama", "model.layers.3.mlp.down_proj.weight"), "blk.3.ffn_down.weight");
 * ```
 */
export function ggufName(architecture: GgufArchitecture, name: string): string | undefined {
  const pairs = table(architecture).map(([gguf, hf]) => [hf, gguf] as const);
  return renamed(pairs, /^(model\.layers|transformer\.h)\.(\d+)\./, name);
}

/**
 * How the two layouts differ in the rows, axes or values of a tensor. Rows of q and k of "llama" and
 * "smollm3" are interleaved in GGUF (pairs of rotary halves side by side); GPT-2's Conv1D matrices are
 * transposed; norms of Gemma have one added.
 *
 * @example
 * ```ts
 * import { relayout } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(relayout("llama", "blk.0.attn_q.weight"), "interleave_q");
 * assert.equal(relayout("llama", "blk.0.ffn_up.weight"), "none");
 * ```
 */
export function relayout(
  architecture: GgufArchitecture,
  name: string,
): "none" | "interleave_q" | "interleave_k" | "transpose" | "add_one" {
  const pairs = architecture === "llama" || architecture === "smollm3";
  if (pairs && name.includes(".attn_q.")) return "interleave_q";
  if (pairs && name.includes(".attn_k.")) return "interleave_k";
  if ((architecture === "gemma" || architecture === "gemma3") && name.endsWith("norm.weight")) {
    return "add_one";
  }
  if (architecture === "gpt2" && /\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$/.test(name)) {
    return "transpose";
  }
  return "none";
}

function table(architecture: GgufArchitecture): readonly (readonly [string, string])[] {
  switch (architecture) {
    case "gpt2":
      return GPT2;
    case "qwen3":
      return QWEN3;
    case "gemma3":
      return GEMMA3;
    case "gemma":
    case "llama":
    case "qwen2":
    case "smollm3":
      return LLAMA;
    default:
      return architecture satisfies never;
  }
}

function renamed(
  pairs: readonly (readonly [string, string])[],
  layered: RegExp,
  name: string,
): string | undefined {
  const suffix = /\.(weight|bias)$/.exec(name)?.[0];
  if (suffix === undefined || name.includes("{}")) return undefined;
  const layer = layered.exec(name);
  const stem = name.slice(0, -suffix.length).replace(layered, "$1.{}.");
  const to = pairs.find(([from]) => from === stem)?.[1];
  return to === undefined ? undefined : to.replace("{}", layer?.[2] ?? "") + suffix;
}
