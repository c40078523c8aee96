/**
 * GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners"): pre-norm blocks with learned
 * positions, one fused matrix for q, k and v, and matrices stored [in, out] (its code calls them Conv1D).
 *
 *   x ← x + proj( attend( split(qkv(n)) ) )      n = LayerNorm(x)
 *   x ← x + down( gelu( up(n) ) )                n = LayerNorm(x)
 *
 * The dropout rates in its config (`resid_pdrop` and similar) are not applied, since the base is not trained.
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
  type Site,
  type Spec,
  type Tensor,
  vector,
} from "../core/mod.ts";
import { add, integers, layerNorm, reshape, slice } from "../ops/mod.ts";
import { type StackParts, stackStates } from "./stack.ts";
import { activationOf } from "./activation.ts";
import { blockPlaces } from "./block_places.ts";
import { blockCount, flag, optionalNumber, optionalSize, shareOf, size } from "./config.ts";
import { vocabularyLogits } from "./vocabulary_logits.ts";
import { rangeError } from "../errors/error.ts";

/** The settings of a GPT-2 `config.json`. */
interface Gpt2Config {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly inner: number;
  readonly vocabulary: number;
  readonly context: number;
  readonly epsilon: number;
  readonly activation: (x: Tensor) => Tensor;
  /** Whether scores are divided by √headDim. */
  readonly scaled: boolean;
  readonly tied: boolean;
}

function configOf(config: ModelConfig): Gpt2Config {
  for (const name of ["scale_attn_by_inverse_layer_idx", "add_cross_attention"]) {
    if (flag(config, name, false)) {
      throw rangeError("METHOD_DOES_NOT_FIT", `Cannot run a gpt2 whose config says "${name}": true`);
    }
  }
  const width = size(config, "n_embd");
  shareOf(config, "n_embd", "n_head");
  return {
    width,
    layers: blockCount(config, "n_layer"),
    heads: size(config, "n_head"),
    inner: optionalSize(config, "n_inner") ?? 4 * width,
    vocabulary: size(config, "vocab_size"),
    context: optionalSize(config, "n_positions") ?? 1024,
    epsilon: optionalNumber(config, "layer_norm_epsilon") ?? 1e-5,
    activation: activationOf("activation_function", config["activation_function"] ?? "gelu_new"),
    scaled: flag(config, "scale_attn_weights", true),
    tied: flag(config, "tie_word_embeddings", true),
  };
}

function attentionPart(pass: Pass, site: Site, x: Tensor, c: Gpt2Config): Tensor {
  const split = (x: Tensor) => {
    const qkv = linear(pass, into(site, "c_attn"), x, true); // [b, t, 3d]
    const [b, t] = [x.shape[0]!, x.shape[1]!];
    const width = qkv.shape[2]! / 3; // a side network's blocks are narrower
    const part = (i: number): Tensor =>
      reshape(slice(qkv, -1, i * width, (i + 1) * width), [b, t, c.heads, width / c.heads]); // [b, t, h, d]
    return { q: part(0), k: part(1), v: part(2) };
  };
  const parts = { x, ...split(x), project: split };
  const y = attention(pass, site, parts, { causal: true, ...!c.scaled && { scale: 1 } }); // [b, t, h, d]
  return linear(pass, into(site, "c_proj"), reshape(y, [x.shape[0]!, x.shape[1]!, -1]), true);
}

function feedForwardPart(pass: Pass, site: Site, x: Tensor, c: Gpt2Config): Tensor {
  return linear(pass, into(site, "c_proj"), c.activation(linear(pass, into(site, "c_fc"), x, true)), true);
}

function normAt(site: Site, x: Tensor, c: Gpt2Config): Tensor {
  return layerNorm(x, vector(site, "weight"), vector(site, "bias"), c.epsilon);
}

function block(pass: Pass, site: Site, input: Tensor, c: Gpt2Config): Tensor {
  const sublayer = (name: string, x: Tensor, normed: Tensor, f: (at: Site) => Tensor): Tensor => {
    const at = into(site, name);
    return add(x, hidden(pass, at, { x: normed, skip: x }, f(at)));
  };
  const first = normAt(into(site, "ln_1"), input, c);
  const x = sublayer("attn", input, first, (at) => attentionPart(pass, at, first, c));
  const second = normAt(into(site, "ln_2"), x, c);
  const y = sublayer("mlp", x, second, (at) => feedForwardPart(pass, at, second, c));
  return hidden(pass, site, { x: input, skip: undefined }, y);
}

function parts(model: Model, c: Gpt2Config): StackParts<undefined> {
  return {
    stack: "transformer",
    blocks: "h",
    layers: c.layers,
    vocabulary: c.vocabulary,
    context: c.context,
    embed: (pass, root, ids) => embedding(pass, into(root, "transformer", "wte"), ids),
    position: (pass, root, x, positions) => {
      const ids = integers(positions.flat(), model.backend, [positions.length, positions[0]!.length]);
      return add(x, embedding(pass, into(root, "transformer", "wpe"), ids));
    },
    block: (pass, site, x) => block(pass, site, x, c),
    finish: (_, root, x) => normAt(into(root, "transformer", "ln_f"), x, c),
  };
}

/**
 * GPT-2.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { gpt2 } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("gpt2"), { backend: reference(), key: 0 });
 * const { states } = gpt2.states(model, { inputIds: [[1, 2, 3]] }, {});
 * assert.deepEqual(states.shape, [1, 3, 16]);
 * assert.deepEqual(gpt2.head(model, states, {}).shape, [1, 3, 32]);
 * ```
 */
export const gpt2: Architecture = {
  name: "gpt2",
  states: (model, batch, options) => stackStates(model, batch, options, parts(model, configOf(model.config))),
  labels: () => "next",
  head: (model, states, options) =>
    vocabularyLogits(model, states, options, { head: "lm_head", table: "transformer.wte" }),
};

/**
 * The tree's path of a checkpoint's tensor. The first GPT-2 checkpoints lack the prefix `transformer.`, and
 * many contain causal masks besides the weights (`attn.bias`, `attn.masked_bias`), for which the result is
 * undefined.
 *
 * @example
 * ```ts
 * import { gpt2WeightPath } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * assert.equal(gpt2WeightPath("wte.weight"), "transformer.wte.weight");
 * assert.equal(gpt2WeightPath("transformer.h.0.attn.bias"), undefined); // a mask
 * ```
 */
export function gpt2WeightPath(name: string): string | undefined {
  if (/(^|\.)h\.\d+\.attn\.(masked_)?bias$/.test(name)) return undefined;
  return /^(wte|wpe|ln_f|h\.\d+)\./.test(name) ? `transformer.${name}` : name;
}

/**
 * The places of a GPT-2 model, from its config alone.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { gpt2Spec } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const [qkv] = gpt2Spec(smallConfig("gpt2")).linears;
 * assert.equal(qkv!.path, "transformer.h.0.attn.c_attn");
 * assert.deepEqual([qkv!.inFeatures, qkv!.outFeatures, qkv!.transposed], [16, 48, true]);
 * ```
 */
export function gpt2Spec(config: ModelConfig): Spec {
  const c = configOf(config);
  const stack = "decoder" as const;
  const { width } = c;
  const places = blockPlaces({
    ...{ path: "transformer.h", stack, layers: c.layers, width, transposed: true },
    linears: [
      ["attn.c_attn", "qkv", width, 3 * width, true],
      ["attn.c_proj", "output", width, width, true],
      ["mlp.c_fc", "up", width, c.inner, true],
      ["mlp.c_proj", "down", c.inner, width, true],
    ],
    attention: { path: "attn", heads: c.heads, keyValueHeads: c.heads, headDim: width / c.heads },
    sublayers: [["attn", "attention"], ["mlp", "feedForward"]],
    norms: { paths: ["ln_1", "ln_2"], bias: true },
  });
  return {
    architecture: "gpt2",
    ...places,
    norms: [...places.norms, { kind: "norm", path: "transformer.ln_f", stack, width, bias: true }],
    embeddings: [
      { kind: "embedding", path: "transformer.wte", stack, role: "token", rows: c.vocabulary, width },
      { kind: "embedding", path: "transformer.wpe", stack, role: "position", rows: c.context, width },
    ],
    heads: [{
      kind: "head",
      path: "lm_head",
      stack,
      inFeatures: width,
      outFeatures: c.vocabulary,
      bias: false,
      ...c.tied && { tiedTo: "transformer.wte" },
    }],
    stacks: [{
      kind: "stack",
      entrance: "transformer.wte",
      path: "transformer",
      stack,
      width,
      layers: c.layers,
    }],
  };
}
