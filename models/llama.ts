/**
 * The Llama family (arXiv 2302.13971, 2407.21783): Llama 2 and 3, SmolLM2, Mistral (2310.06825), Qwen2 and 2.5
 * (2412.15115, biases on q, k, v). Pre-norm blocks of grouped-query attention with rotary positions and a SwiGLU
 * feed-forward part.
 *
 *   x ← x + o( attend( rope(q(n)), rope(k(n)), v(n) ) )      n = RMSNorm(x)
 *   x ← x + down( silu(gate(n)) ⊙ up(n) )                    n = RMSNorm(x)
 */
import {
  type Architecture,
  attention,
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
import {
  add,
  amplitudeOf,
  inverseFrequencies,
  reshape,
  rope,
  type RopeScaling,
  ropeTables,
  swiglu,
} from "../ops/mod.ts";
import { type StackParts, stackStates } from "./stack.ts";
import { blockPlaces } from "./block_places.ts";
import { blockCount, flag, optionalNumber, optionalSize, shareOf, size } from "./config.ts";
import { contextOf, ropeScalingOf } from "./llama_rope.ts";
import { wordScores } from "./word_scores.ts";

interface Shared {
  /** Rotary tables for heads of a size; a side network's are narrower than the model's. */
  tables(headDim: number): { readonly cos: Tensor; readonly sin: Tensor };
}

/** The numbers of a Llama-family `config.json`. */
interface LlamaConfig {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly inner: number;
  readonly vocabulary: number;
  readonly context: number;
  readonly epsilon: number;
  readonly theta: number;
  readonly scaling: RopeScaling;
  /** Of each block: how many keys behind a query it sees, 0 for all. */
  readonly windows: readonly number[];
  readonly tied: boolean;
}

function configOf(config: ModelConfig): LlamaConfig {
  const activation = config.hidden_act ?? "silu";
  if (activation !== "silu" && activation !== "swish") {
    throw new RangeError(
      `Cannot run a ${config.model_type} with hidden_act ${JSON.stringify(activation)}: known is silu`,
    );
  }
  const width = size(config, "hidden_size");
  const heads = size(config, "num_attention_heads");
  const keyValueHeads = optionalSize(config, "num_key_value_heads") ?? heads;
  if (keyValueHeads !== heads) shareOf(config, "num_attention_heads", "num_key_value_heads");
  const layers = blockCount(config, "num_hidden_layers");
  const headDim = optionalSize(config, "head_dim") ?? shareOf(config, "hidden_size", "num_attention_heads");
  if (headDim % 2 !== 0) {
    throw new RangeError(`Cannot run heads of ${headDim} features: rotary positions turn them in pairs`);
  }
  const scaling = ropeScalingOf(config);
  return {
    width,
    layers,
    heads,
    keyValueHeads,
    headDim,
    inner: size(config, "intermediate_size"),
    vocabulary: size(config, "vocab_size"),
    context: contextOf(config, scaling),
    epsilon: optionalNumber(config, "rms_norm_eps") ?? 1e-6,
    theta: optionalNumber(config, "rope_theta") ?? 10000,
    scaling,
    windows: windowsOf(config, layers),
    tied: flag(config, "tie_word_embeddings", false),
  };
}

/**
 * Mistral's blocks all look back through a window, Qwen2's on demand and from block `max_window_layers` on, or where
 * `layer_types` says so; Llama has none.
 * `sliding_window` counts the query itself, the kernel's window only keys behind it.
 */
function windowsOf(config: ModelConfig, layers: number): readonly number[] {
  const qwen = config.model_type === "qwen2";
  const windowed = config.model_type === "mistral" || (qwen && flag(config, "use_sliding_window", false));
  // Both families' own default; null says that there is none.
  const given = config.sliding_window === undefined ? 4096 : optionalSize(config, "sliding_window");
  const from = qwen ? optionalNumber(config, "max_window_layers") ?? 28 : 0;
  const types = config.layer_types as readonly string[] | null | undefined;
  const looksBack = (layer: number): boolean =>
    qwen && Array.isArray(types) ? types[layer] === "sliding_attention" : layer >= from;
  return Array.from(
    { length: layers },
    (_, layer) => windowed && given !== undefined && looksBack(layer) ? given - 1 : 0,
  );
}

function attentionPart(
  pass: Pass,
  site: Site,
  x: Tensor,
  c: LlamaConfig,
  window: number,
  shared: Shared,
): Tensor {
  const q = linear(pass, into(site, "q_proj"), x);
  const headDim = q.shape[2]! / c.heads; // a side network's blocks are narrower
  const { cos, sin } = shared.tables(headDim);
  const split = (t: Tensor): Tensor => reshape(t, [t.shape[0]!, t.shape[1]!, -1, headDim]); // [b, t, h, d]
  const k = split(linear(pass, into(site, "k_proj"), x));
  const v = split(linear(pass, into(site, "v_proj"), x));
  const parts = { x, q: rope(split(q), cos, sin), k: rope(k, cos, sin), v };
  const y = attention(pass, site, parts, { causal: true, window }); // [b, t, h, d]
  return linear(pass, into(site, "o_proj"), reshape(y, q.shape));
}

function feedForwardPart(pass: Pass, site: Site, x: Tensor): Tensor {
  const gate = linear(pass, into(site, "gate_proj"), x);
  return linear(pass, into(site, "down_proj"), swiglu(gate, linear(pass, into(site, "up_proj"), x)));
}

function block(pass: Pass, site: Site, input: Tensor, c: LlamaConfig, shared: Shared): Tensor {
  // A block's path ends in its number, also in a side network.
  const window = c.windows[Number(site.path.split(".").at(-1))] ?? 0;
  const norm = (name: string, t: Tensor): Tensor => rmsNormAt(into(site, name), t, c.epsilon);
  const sublayer = (name: string, x: Tensor, normed: Tensor, f: (at: Site) => Tensor): Tensor => {
    const at = into(site, name);
    return add(x, hidden(pass, at, { x: normed, skip: x }, f(at)));
  };
  const first = norm("input_layernorm", input);
  const x = sublayer("self_attn", input, first, (at) => attentionPart(pass, at, first, c, window, shared));
  const second = norm("post_attention_layernorm", x);
  const y = sublayer("mlp", x, second, (at) => feedForwardPart(pass, at, second));
  return hidden(pass, site, { x: input, skip: undefined }, y);
}

function parts(model: Model, c: LlamaConfig): StackParts<Shared> {
  const tablesOf = (positions: readonly (readonly number[])[], headDim: number) => {
    const length = 1 + positions.reduce((most, row) => row.reduce((a, b) => Math.max(a, b), most), 0);
    const frequencies = inverseFrequencies(headDim, c.theta, c.scaling, length);
    return ropeTables(positions, frequencies, model.backend, amplitudeOf(c.scaling));
  };
  return {
    stack: "model",
    blocks: "layers",
    layers: c.layers,
    vocabulary: c.vocabulary,
    context: c.context,
    embed: (pass, root, ids) => embedding(pass, into(root, "model", "embed_tokens"), ids),
    share: (_, __, positions) => {
      const own = tablesOf(positions, c.headDim);
      return { tables: (headDim) => headDim === c.headDim ? own : tablesOf(positions, headDim) };
    },
    block: (pass, site, x, shared) => block(pass, site, x, c, shared),
    finish: (_, root, x) => rmsNormAt(into(root, "model", "norm"), x, c.epsilon),
  };
}

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
export const llama: Architecture = {
  name: "llama",
  states: (model, batch, options) => stackStates(model, batch, options, parts(model, configOf(model.config))),
  labels: () => "next",
  head: (model, states, options) =>
    wordScores(model, states, options, { head: "lm_head", table: "model.embed_tokens" }),
};

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
  const c = configOf(config);
  const stack = "decoder" as const;
  const qkvBias = config.model_type === "qwen2" || flag(config, "attention_bias", false);
  const outputBias = config.model_type !== "qwen2" && flag(config, "attention_bias", false);
  const mlpBias = flag(config, "mlp_bias", false);
  const [queries, keys] = [c.heads * c.headDim, c.keyValueHeads * c.headDim];
  const { width, inner } = c;
  const places = blockPlaces({
    ...{ path: "model.layers", stack, layers: c.layers, width },
    linears: [
      ["self_attn.q_proj", "query", width, queries, qkvBias],
      ["self_attn.k_proj", "key", width, keys, qkvBias],
      ["self_attn.v_proj", "value", width, keys, qkvBias],
      ["self_attn.o_proj", "output", queries, width, outputBias],
      ["mlp.gate_proj", "gate", width, inner, mlpBias],
      ["mlp.up_proj", "up", width, inner, mlpBias],
      ["mlp.down_proj", "down", inner, width, mlpBias],
    ],
    attention: { path: "self_attn", heads: c.heads, keyValueHeads: c.keyValueHeads, headDim: c.headDim },
    sublayers: [["self_attn", "attention"], ["mlp", "feedForward"]],
    norms: { paths: ["input_layernorm", "post_attention_layernorm"] },
  });
  return {
    architecture: "llama",
    ...places,
    norms: [...places.norms, { kind: "norm", path: "model.norm", stack, width, bias: false }],
    embeddings: [{
      kind: "embedding",
      path: "model.embed_tokens",
      stack,
      role: "token",
      rows: c.vocabulary,
      width: c.width,
    }],
    heads: [{
      kind: "head",
      path: "lm_head",
      stack,
      inFeatures: c.width,
      outFeatures: c.vocabulary,
      bias: false,
      ...c.tied && { tiedTo: "model.embed_tokens" },
    }],
    stacks: [{
      kind: "stack",
      entrance: "model.embed_tokens",
      path: "model",
      stack,
      width: c.width,
      layers: c.layers,
    }],
  };
}
