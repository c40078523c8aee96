/**
 * Gemma (arXiv 2403.08295) and Gemma 3 for text (arXiv 2503.19786): decoders with rotary positions, GELU
 * gates and norms whose weights are offsets from one. Token embeddings are multiplied by √d.
 *
 *   Gemma      x ← x + attend(N(x))            x ← x + down( gelu(gate(N(x))) ⊙ up(N(x)) )
 *   Gemma 3    x ← x + N( attend(N(x)) )       x ← x + N( down( gelu(gate(N(x))) ⊙ up(N(x)) ) )      N(x) = (1 + w) ⊙ RMSNorm(x)
 *
 * Gemma 3 normalises each head's queries and keys, and most of its blocks use a sliding window, with
 * different rotary positions.
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
import { add, multiply } from "../ops/mod.ts";
import { type GemmaConfig, gemmaConfig } from "./gemma_config.ts";
import { rotaryDecoder, rotaryDecoderSpec } from "./rotary_decoder.ts";
import { rotaryAttention, type RotaryForm, type TablesOf, tablesOf } from "./rotary_attention.ts";
import { isHeadless, textClasses } from "./decoder_head.ts";
import type { StackParts } from "./stack.ts";

interface Shared {
  readonly global: TablesOf;
  readonly local: TablesOf;
}

const norm = (site: Site, name: string, x: Tensor, c: GemmaConfig): Tensor =>
  rmsNormAt(into(site, name), x, c.epsilon, 1);

function feedForward(pass: Pass, site: Site, x: Tensor, c: GemmaConfig): Tensor {
  const gate = c.activation(linear(pass, into(site, "gate_proj"), x));
  return linear(pass, into(site, "down_proj"), multiply(gate, linear(pass, into(site, "up_proj"), x)));
}

function block(pass: Pass, site: Site, input: Tensor, c: GemmaConfig, shared: Shared): Tensor {
  const layer = Number(site.path.split(".").at(-1)); // also holds in a side network
  const window = c.windows[layer] ?? 0;
  const form: RotaryForm = {
    heads: c.heads,
    window,
    tables: window > 0 ? shared.local : shared.global,
    scale: (headDim) => 1 / Math.sqrt(c.queryScale * headDim / c.headDim),
    ...c.third && { norms: { epsilon: c.epsilon, offset: 1 } },
  };
  const [before, behind] = c.third
    ? ["pre_feedforward_layernorm", (name: string, y: Tensor) => norm(site, name, y, c)] as const
    : ["post_attention_layernorm", (_: string, y: Tensor) => y] as const;
  const first = norm(site, "input_layernorm", input, c);
  const attended = into(site, "self_attn");
  const y = behind("post_attention_layernorm", rotaryAttention(pass, attended, first, form));
  const x = add(input, hidden(pass, attended, { x: first, skip: input }, y));
  const second = norm(site, before, x, c);
  const fed = into(site, "mlp");
  const z = behind("post_feedforward_layernorm", feedForward(pass, fed, second, c));
  const output = add(x, hidden(pass, fed, { x: second, skip: x }, z));
  return hidden(pass, site, { x: input, skip: undefined }, output);
}

function parts(model: Model, c: GemmaConfig): StackParts<Shared> {
  const larger = (x: Tensor): Tensor => multiply(x, Math.fround(Math.sqrt(c.width)));
  return {
    stack: "model",
    blocks: "layers",
    layers: c.layers,
    vocabulary: c.vocabulary,
    context: c.context,
    embed: (pass, root, ids) => {
      const rows = embedding(pass, into(root, "model", "embed_tokens"), ids);
      return c.third ? larger(rows) : rows;
    },
    // Gemma scales its states together with a prompt's, Gemma 3 without them.
    position: (_, __, x) => c.third ? x : larger(x),
    share: (_, __, positions) => ({
      global: tablesOf(positions, c.global, model.backend),
      local: tablesOf(positions, c.local, model.backend),
    }),
    block: (pass, site, x, shared) => block(pass, site, x, c, shared),
    finish: (_, root, x) => norm(into(root, "model"), "norm", x, c),
  };
}

/**
 * Gemma and Gemma 3.
 *
 * @example
 * ```ts
 * import { freshModel, reference } from "@graft/peft";
 * import { gemma } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 32, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2 };
 * const config = { model_type: "gemma3_text", ...shape, num_key_value_heads: 1, head_dim: 8 };
 * const model = freshModel(config, { backend: reference(), key: 0 });
 * const { states } = gemma.states(model, { inputIds: [[1, 2, 3]] }, {});
 * assert.deepEqual(gemma.head(model, states, {}).shape, [1, 3, 32]);
 * ```
 */
export const gemma: Architecture = rotaryDecoder(
  "gemma",
  (model) => parts(model, gemmaConfig(model.config)),
);

/**
 * The places of a Gemma, from its config alone.
 *
 * @example
 * ```ts
 * import { gemmaSpec } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 32, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 };
 * const { norms } = gemmaSpec({ model_type: "gemma3_text", ...shape, num_key_value_heads: 1, head_dim: 8 });
 * assert.equal(norms.length, 7); // four of states and two of heads in the block, and the last
 * ```
 */
export function gemmaSpec(config: ModelConfig): Spec {
  const c = gemmaConfig(config);
  return rotaryDecoderSpec(c, {
    architecture: "gemma",
    classes: textClasses(config),
    headless: isHeadless(config),
    biases: { qkv: c.attentionBias, output: c.attentionBias },
    norms: {
      neutral: 0,
      paths: [
        "input_layernorm",
        "post_attention_layernorm",
        ...c.third ? ["pre_feedforward_layernorm", "post_feedforward_layernorm"] : [],
      ],
      ...c.third && { heads: ["self_attn.q_norm", "self_attn.k_norm"] },
    },
  });
}
