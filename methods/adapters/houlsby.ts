/**
 * Houlsby adapter. Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP", arXiv 1902.00751, section 2.1.
 *
 *   h ← h + U σ(D h + b_D) + b_U        D [r, d]   U [d, r]
 *
 * Twice per block: on the output h of the attention and of the feed-forward part, before the block adds it to
 * the residual (and, post-norm, normalises). The adapter's own skip connection is inside the block's. Weights
 * start from a normal distribution with standard deviation 1e-3, truncated at two standard deviations, so the
 * model is nearly but not exactly unchanged initially.
 *
 * The paper trains the layer norms as well: `compose({ adapters: houlsby(), norms: layerNormTune() })`. A
 * decoder's cross-attention gets none, as in Compacter's and AdapterHub's code, unless `after` says
 * otherwise.
 */
import { type DefinedMethod, fold, type Tensor } from "../../core/mod.ts";
import { option } from "../../core/options/mod.ts";
import { truncatedNormal, zeros } from "../../ops/mod.ts";
import { activationOption, afterOption, reductionOption } from "../shared/adapter_options.ts";
import type { Affine } from "../shared/affine.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
} from "../shared/bottleneck.ts";
import { type AdapterPosition, defineHidden } from "../shared/define_hidden.ts";
import { reductionOf } from "../shared/model_sizes.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { layerNormTune } from "../selective/layer_norm_tune.ts";

/** Options of the Houlsby adapter. */
export interface HoulsbyOptions {
  /** d / r, default 16. The paper's r is 8 to 256, 64 in its code. */
  readonly reduction?: number;
  /** σ, default "gelu". AdapterHub's "double_seq_bn" uses "silu". */
  readonly activation?: Activation;
  /** After which parts of a block, default ["attention", "feedForward"]. */
  readonly after?: readonly AdapterPosition[];
  /** Standard deviation of the initial weights, default 1e-3. */
  readonly deviation?: number;
}

/**
 * The Houlsby adapter as a method. Parameters are stored under each part's path: `….self_attn.down.weight`,
 * `….mlp.up.bias`.
 *
 * @throws {RangeError} when the reduction is below 1 or the deviation negative, or at init when a model has no such parts.
 * @example
 * ```ts
 * import { houlsby } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(houlsby({ reduction: 12, after: ["feedForward"] }).name, "houlsby");
 * ```
 */
export const houlsby: DefinedMethod<HoulsbyOptions> = defineHidden<HoulsbyOptions, Bottleneck>({
  name: "houlsby",
  summary: "Adds a bottleneck network after both attention and feed-forward part of every block.",
  facts: { parameters: "2L (2rd + r + d), and norms" },
  title: "Houlsby adapter",
  options: {
    reduction: reductionOption(16),
    activation: activationOption("gelu"),
    after: afterOption("attention", "feedForward"),
    deviation: option(nonNegative, "standard deviation of the initial weights", 1e-3),
  },
  after: ({ after }) => after,
  params: ({ width: d }, { reduction, deviation }, { key, backend }) => {
    const r = bottleneckRank(d, reduction);
    const layer = (name: string, out: number, inner: number): Affine => ({
      weight: truncatedNormal(fold(key, name), [out, inner], backend, deviation),
      bias: zeros([out], backend),
    });
    return { down: layer("down", r, d), up: layer("up", d, r) };
  },
  reads: () => "output",
  delta: (p, { y }, { activation: σ }): Tensor => bottleneck(p, y, activation(σ)),
  cli: {
    rate: 5e-4,
    flags: ["bottleneck"],
    options: ({ bottleneck }, spec) => ({ reduction: reductionOf(bottleneck, spec) }),
  },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN",
    trainable: "0.1 - 6",
    changed: "0.1 - 6",
  },
  published: { setting: "r d/32, and norms", options: () => ({ reduction: 32 }), beside: layerNormTune },
});
