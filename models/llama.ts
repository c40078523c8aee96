/**
 * The Llama family (arXiv 2302.13971, 2407.21783): Llama 2 and 3, SmolLM2, Mistral (2310.06825), Qwen2 and 2.5
 * (2412.15115, biases on q, k, v), Qwen3 (2505.09388, each head's q and k normalised), SmolLM3 (blocks without positions).
 * Pre-norm blocks of grouped-query attention with rotary positions and a SwiGLU feed-forward part.
 *
 *   x ← x + o( attend( rope(q(n)), rope(k(n)), v(n) ) )      n = RMSNorm(x)
 *   x ← x + down( silu(gate(n)) ⊙ up(n) )                    n = RMSNorm(x)
 */
import {
  type Architecture,
  embedding,
  hidden,
  into,
  linear,
  type Model,
  type ModelConfig,
  type Pass,
  rmsNormAt,
  type Site,
  type Spec,
  type Tensor,
} from "../core/mod.ts";
import { add, swiglu } from "../ops/mod.ts";
import { isHeadless, textClasses } from "./decoder_head.ts";
import type { StackParts } from "./stack.ts";
import { type LlamaConfig, llamaConfig } from "./llama_config.ts";
import { rotaryAttention, type RotaryForm, type TablesOf, tablesOf } from "./rotary_attention.ts";
import { rotaryDecoder, rotaryDecoderSpec } from "./rotary_decoder.ts";

function feedForwardPart(pass: Pass, site: Site, x: Tensor): Tensor {
  const gate = linear(pass, into(site, "gate_proj"), x);
  return linear(pass, into(site, "down_proj"), swiglu(gate, linear(pass, into(site, "up_proj"), x)));
}

function block(pass: Pass, site: Site, input: Tensor, c: LlamaConfig, tables: TablesOf): Tensor {
  const layer = Number(site.path.split(".").at(-1)); // also holds in a side network
  const norm = (name: string, t: Tensor): Tensor => rmsNormAt(into(site, name), t, c.epsilon);
  const sublayer = (name: string, x: Tensor, normed: Tensor, f: (at: Site) => Tensor): Tensor => {
    const at = into(site, name);
    return add(x, hidden(pass, at, { x: normed, skip: x }, f(at)));
  };
  const first = norm("input_layernorm", input);
  const form: RotaryForm = {
    heads: c.heads,
    tables: c.rotary[layer] === false ? undefined : tables,
    window: c.windows[layer] ?? 0,
    ...c.headNorms && { norms: { epsilon: c.epsilon } },
  };
  const x = sublayer("self_attn", input, first, (at) => rotaryAttention(pass, at, first, form));
  const second = norm("post_attention_layernorm", x);
  const y = sublayer("mlp", x, second, (at) => feedForwardPart(pass, at, second));
  return hidden(pass, site, { x: input, skip: undefined }, y);
}

const parts = (model: Model, c: LlamaConfig): StackParts<TablesOf> => ({
  stack: "model",
  blocks: "layers",
  layers: c.layers,
  vocabulary: c.vocabulary,
  context: c.context,
  embed: (pass, root, ids) => embedding(pass, into(root, "model", "embed_tokens"), ids),
  share: (_, __, positions) => tablesOf(positions, c, model.backend),
  block: (pass, site, x, tables) => block(pass, site, x, c, tables),
  finish: (_, root, x) => rmsNormAt(into(root, "model", "norm"), x, c.epsilon),
});

/**
 * The Llama family.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { llama } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { states } = llama.states(model, { inputIds: [[1, 2, 3]] }, {});
 * assert.deepEqual(states.shape, [1, 3, 16]);
 * assert.deepEqual(llama.head(model, states, {}).shape, [1, 3, 32]);
 * ```
 */
export const llama: Architecture = rotaryDecoder(
  "llama",
  (model) => parts(model, llamaConfig(model.config)),
);

/**
 * The places of a Llama-family model, from its config alone.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { llamaSpec } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const { linears, heads } = llamaSpec(smallConfig("llama", { layers: 1 }));
 * assert.deepEqual(linears.map(({ path }) => path.split(".").at(-1)), [
 *   "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
 * ]);
 * assert.equal(heads[0]!.tiedTo, "model.embed_tokens");
 * ```
 */
export function llamaSpec(config: ModelConfig): Spec {
  const c = llamaConfig(config);
  return rotaryDecoderSpec(c, {
    architecture: "llama",
    classes: textClasses(config),
    headless: isHeadless(config),
    biases: c.biases,
    norms: {
      paths: ["input_layernorm", "post_attention_layernorm"],
      ...c.headNorms && { heads: ["self_attn.q_norm", "self_attn.k_norm"] },
    },
  });
}
