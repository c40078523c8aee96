/**
 * T5 (arXiv 1910.10683), its v1.1 with a gated feed-forward part (2002.05202), FLAN-T5 (2210.11416) and mT5
 * (2010.11934): an encoder, and a decoder that reads its states. Pre-norm blocks without biases; the only
 * position information is the bucketed distance between tokens; scores are not divided by √headDim.
 *
 *   x ← x + o( attend( q(n), k(n), v(n), + bias[bucket] ) )       n = RMSNorm(x)
 *   x ← x + o( attend( q(n), k(m), v(m) ) )                       m the encoder's states; decoder only
 *   x ← x + down( relu( up(n) ) )   or   down( gelu(gate(n)) ⊙ up(n) )
 *
 * The first block's table of biases serves all blocks of its stack. Where head and token table are tied,
 * states are divided by √width before the head. The dropout rate in the config is not applied, since the base
 * is not trained.
 */
import {
  type Architecture,
  attention,
  attentionAcross,
  type Batch,
  embedding,
  type ForwardOptions,
  hidden,
  into,
  linear,
  type Model,
  type ModelConfig,
  type Pass,
  rmsNormAt,
  type Site,
  type Stack,
  type States,
  type Tensor,
} from "../core/mod.ts";
import { add, integers, multiply, permute, reshape } from "../ops/mod.ts";
import { bucketOf } from "./relative_buckets.ts";
import { type StackParts, stackStates } from "./stack.ts";
import { type T5Config, t5Config } from "./t5_config.ts";
import { vocabularyLogits } from "./vocabulary_logits.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Data shared by the blocks of a stack. */
interface Shared {
  /** Relative-position biases [1, h, t, to − from]. */
  relative(from: number, to: number): Tensor;
}

/**
 * What a decoder reads from the encoder: states [b, s, d], absent once its keys and values are cached, and
 * their mask.
 */
interface Memory {
  readonly states?: Tensor;
  /** What the decoder's side networks read instead. */
  readonly memories?: readonly Tensor[];
  readonly mask: Tensor | undefined;
}

/** The memory of a side network: the states of its own encoder, if it has one. */
function sideMemory({ memories, ...memory }: Memory, n: number): Memory {
  const states = memories?.[n];
  return states === undefined ? memory : { ...memory, states };
}

const split = (t: Tensor, heads: number): Tensor => reshape(t, [t.shape[0]!, t.shape[1]!, heads, -1]); // [b, t, h, d]
const join = (t: Tensor): Tensor => reshape(t, [t.shape[0]!, t.shape[1]!, -1]); // [b, t, h · d]

function selfAttention(pass: Pass, at: Site, x: Tensor, stack: Stack, c: T5Config, shared: Shared): Tensor {
  const part = (name: string, x: Tensor): Tensor => split(linear(pass, into(at, name), x), c.heads);
  const project = (states: Tensor) => ({ k: part("k", states), v: part("v", states) });
  const parts = { x, q: part("q", x), ...project(x), project };
  const y = attention(pass, at, parts, { causal: stack === "decoder", scale: 1, relative: shared.relative });
  return linear(pass, into(at, "o"), join(y));
}

function encoderAttention(pass: Pass, at: Site, x: Tensor, c: T5Config, memory: Memory): Tensor {
  const part = (name: string, x: Tensor): Tensor => split(linear(pass, into(at, name), x), c.heads);
  const project = (states: Tensor) => ({ k: part("k", states), v: part("v", states) }); // [b, s, h, d]
  const parts = { x, q: part("q", x), memory: () => project(memory.states!), project };
  return linear(pass, into(at, "o"), join(attentionAcross(pass, at, parts, memory.mask, { scale: 1 })));
}

function feedForward(pass: Pass, at: Site, x: Tensor, c: T5Config): Tensor {
  const layer = (name: string, x: Tensor): Tensor => linear(pass, into(at, name), x);
  return c.feedForward === "plain"
    ? layer("wo", c.activation(layer("wi", x)))
    : layer("wo", multiply(c.activation(layer("wi_0", x)), layer("wi_1", x)));
}

function normAt(site: Site, x: Tensor, c: T5Config): Tensor {
  return rmsNormAt(site, x, c.epsilon);
}

/** A block of either stack; a decoder block reads the memory between its other two parts. */
function block(
  pass: Pass,
  site: Site,
  input: Tensor,
  stack: Stack,
  c: T5Config,
  shared: Shared,
  memory?: Memory,
): Tensor {
  const parts: readonly ((at: Site, n: Tensor) => Tensor)[] = [
    (at, n) => selfAttention(pass, into(at, "SelfAttention"), n, stack, c, shared),
    ...memory
      ? [(at: Site, n: Tensor) => encoderAttention(pass, into(at, "EncDecAttention"), n, c, memory)]
      : [],
    (at, n) => feedForward(pass, into(at, "DenseReluDense"), n, c),
  ];
  const y = parts.reduce((x, part, i) => {
    const at = into(site, "layer", i);
    const n = normAt(into(at, "layer_norm"), x, c);
    return add(x, hidden(pass, at, { x: n, skip: x }, part(at, n)));
  }, input);
  return hidden(pass, site, { x: input, skip: undefined }, y);
}

/** A stack's relative-position biases for `t` queries, the first of which is at position `past`. */
function distances(pass: Pass, root: Site, stack: "encoder" | "decoder", t: number, c: T5Config): Shared {
  const site = into(root, stack, "block", 0, "layer", 0, "SelfAttention", "relative_attention_bias");
  const past = pass.cache?.length ?? 0;
  const bucketing = {
    sides: stack === "encoder" ? "both" : "behind",
    buckets: c.buckets,
    farthest: c.farthest,
  } as const;
  const biases = (from: number, to: number): Tensor => {
    const ids = Array.from(
      { length: t },
      (_, q) => Array.from({ length: to - from }, (_, k) => bucketOf(from + k - (past + q), bucketing)),
    ).flat();
    const rows = embedding(pass, site, integers(ids, pass.ids.backend, [1, t, to - from])); // [1, t, n, h]
    return permute(rows, [0, 3, 1, 2]); // [1, h, t, n]
  };
  const text = biases(0, past + t);
  return { relative: (from, to) => from === 0 && to === past + t ? text : biases(from, to) };
}

function parts(stack: "encoder" | "decoder", c: T5Config, memory?: Memory): StackParts<Shared> {
  return {
    stack,
    blocks: "block",
    layers: c.layers[stack],
    vocabulary: c.vocabulary,
    context: Infinity,
    ...stack === "encoder" && { prompts: "kept" },
    embed: (pass, root, ids) => embedding(pass, into(root, "shared"), ids),
    share: (pass, root, positions) => distances(pass, root, stack, positions[0]!.length, c),
    block: (pass, site, x, shared) => block(pass, site, x, stack, c, shared, memory),
    ...memory && {
      sideBlock: (pass, site, x, shared, n) => block(pass, site, x, stack, c, shared, sideMemory(memory, n)),
    },
    finish: (_, root, x) => normAt(into(root, stack, "final_layer_norm"), x, c),
  };
}

/** The decoder's input: as given, or the labels shifted right after the start token. */
function decoderIds(batch: Batch, c: T5Config): readonly (readonly number[])[] {
  const { decoderInputIds, labels } = batch;
  if (decoderInputIds !== undefined) return decoderInputIds;
  if (labels === undefined) {
    throw typeError(
      "INVALID_BATCH",
      "Expected decoderInputIds or labels, since the decoder reads its own tokens, but found neither",
    );
  }
  return labels.map((row) => {
    if (typeof row === "number") {
      throw typeError("INVALID_BATCH", `Expected labels for every decoded token but found ${row}`);
    }
    return [c.start, ...row.slice(0, -1).map((id) => id === -100 ? c.pad : id)];
  });
}

function states(model: Model, batch: Batch, options: ForwardOptions): States {
  const c = t5Config(model.config);
  const { cache, keepCache: _, ...again } = options;
  const decoded: Batch = { inputIds: decoderIds(batch, c) };
  if (decoded.inputIds.length !== batch.inputIds.length) {
    throw rangeError(
      "INVALID_BATCH",
      `Expected as many rows to decode as to read but found ${decoded.inputIds.length} and ${batch.inputIds.length}`,
    );
  }
  const memory = cache?.memory ?? stackStates(model, batch, again, parts("encoder", c));
  const run = stackStates(model, decoded, options, {
    ...parts("decoder", c, memory),
    bare: (base, options) => states(base, batch, options),
  });
  return { states: run.states, cache: run.cache && { ...run.cache, memory: { mask: memory.mask } } };
}

/**
 * The factor on scores of a head tied to the embedding, 1 / √d.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { t5TiedScale } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * assert.equal(t5TiedScale(smallConfig("t5", { width: 16 })), 0.25);
 * ```
 */
export function t5TiedScale(config: ModelConfig): number {
  return 1 / Math.sqrt(t5Config(config).width);
}

/**
 * T5.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { t5 } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("t5"), { backend: reference(), key: 0 });
 * const { states } = t5.states(model, { inputIds: [[1, 2, 3]], decoderInputIds: [[0, 4]] }, {});
 * assert.deepEqual(states.shape, [1, 2, 16]); // the decoder's
 * assert.equal(t5.decoderStart!(model), 0);
 * ```
 */
export const t5: Architecture = {
  name: "t5",
  states,
  head: (model, states, options) => {
    const c = t5Config(model.config);
    const x = c.tied ? multiply(states, t5TiedScale(model.config)) : states;
    return vocabularyLogits(model, x, options, { head: "lm_head", table: "shared" });
  },
  labels: () => "token",
  decoderStart: (model) => t5Config(model.config).start,
};
