/**
 * Compacter and Compacter++. Karimi Mahabadi, Henderson and Ruder 2021, "Compacter: Efficient Low-Rank Hypercomplex Adapter
 * Layers", arXiv 2106.04647, section 3.
 *
 *   h ← h + PHM_up( σ( PHM_down(h) ) )      PHM(x) = x Σ_i A_i ⊗ (s_i t_i) + b
 *   s [n, in/n, k]   t [n, k, out/n]        A [n, n, n] one rule for all layers of all adapters in the model
 *
 * A starts normal with deviation 1e-4 (`phm_init_range` in the authors' code), so adapters initially add
 * nearly nothing although no factor is zero; the gradients of s and t are equally small, hence the high
 * learning rate (3e-3). Both papers' setups train the model's norms as well: `compose({ adapters:
 * compacter(), norms: layerNormTune() })`.
 */
import { type DefinedMethod, fold, reading, type Tensor } from "../../core/mod.ts";
import { bounded, count, oneOf, option } from "../../core/options/mod.ts";
import { normal } from "../../ops/mod.ts";
import { layerNormTune } from "../selective/layer_norm_tune.ts";
import { activationOption, afterOption, reductionOption } from "../shared/adapter_options.ts";
import { type Activation, activation, bottleneckRank } from "../shared/bottleneck.ts";
import { type AdapterPosition, defineHidden, type HiddenSpec } from "../shared/define_hidden.ts";
import { phmSizes } from "../shared/model_sizes.ts";
import { rankSchema } from "../shared/target_options.ts";
import { checkPhm, freshFactoredPhm, type Phm, phm, phmSetting } from "./phm.ts";

/** Options of Compacter. */
export interface CompacterOptions {
  /** d / r, default 32. */
  readonly reduction?: number;
  /** n, default 4: terms in the sum, and the rule's size. It divides d and r. */
  readonly dimension?: number;
  /** k, default 1. */
  readonly rank?: number;
  /** σ, default "geluTanh" ("gelu_new" in the authors' code). */
  readonly activation?: Activation;
  /** After which parts of a block, default ["attention", "feedForward"]. */
  readonly after?: readonly AdapterPosition[];
  /** What the adapter reads: h (default), or LN(h + x) with x the residual, as AdapterHub's Compacter++ does. */
  readonly reads?: "output" | "normed";
}

type PhmBottleneck = { readonly rule: Tensor; readonly down: Phm; readonly up: Phm };

/** What Compacter and Compacter++ share: all but their places. */
const shared: Omit<HiddenSpec<CompacterOptions, PhmBottleneck>, "name" | "summary"> = {
  options: {
    reduction: reductionOption(32),
    dimension: option(bounded(count, "factors"), "n, the terms of the sum, and the rule's size", 4),
    rank: option(rankSchema, "k, the rank of the blocks", 1),
    activation: activationOption("geluTanh"),
    after: afterOption("attention", "feedForward"),
    reads: option(oneOf("output", "normed"), "what the adapter reads: h, or LN(h + x)", "output"),
  },
  after: ({ after }) => after,
  fits: ({ width: d }, { reduction, dimension }) =>
    checkPhm({ inFeatures: d, outFeatures: bottleneckRank(d, reduction), dimension }),
  shared: ({ dimension: n }, { key, backend }) => ({
    rule: normal(fold(key, "rule"), [n, n, n], backend, 1e-4),
  }),
  params: ({ width: d }, { reduction, dimension, rank: k }, { key, backend }) => {
    const r = bottleneckRank(d, reduction);
    const layer = (name: string, inFeatures: number, outFeatures: number): Phm =>
      freshFactoredPhm(fold(key, name), { inFeatures, outFeatures, dimension }, k, backend);
    return { down: layer("down", d, r), up: layer("up", r, d) };
  },
  reads: ({ reads }) => reads,
  delta: ({ rule, down, up }, call, { reads, activation: σ }) =>
    phm(rule, up, activation(σ)(phm(rule, down, reading(call, reads)))),
  cli: {
    rate: 3e-3,
    flags: ["bottleneck"],
    options: ({ bottleneck }, spec) => phmSizes(spec, 4, bottleneck),
  },
  published: phmSetting(4, layerNormTune),
};

/**
 * Compacter as a method. Parameters: `rule` [n, n, n], and under each part's path `down.left` [n, d/n, k], `down.right`
 * [n, k, r/n], `down.bias` [r], `up.left` [n, r/n, k], `up.right` [n, k, d/n], `up.bias` [d].
 *
 * @throws {RangeError} when the dimension or the rank is not a positive integer, the dimension does not
 * divide d and r, or the reduction is below 1.
 * @example
 * ```ts
 * import { compacter } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(compacter({ reduction: 16 }).name, "compacter");
 * ```
 */
export const compacter: DefinedMethod<CompacterOptions> = defineHidden<CompacterOptions, PhmBottleneck>({
  ...shared,
  name: "compacter",
  summary: "Bottleneck adapters whose matrices are sums of Kronecker products with low-rank factors.",
  facts: { parameters: "2k (d + r) + r + d an adapter, n³ once" },
  title: "Compacter",
  survey: {
    kinds: "AR",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN",
    trainable: "0.05 - 0.07",
    changed: "~0.07 or ~0.1",
    differs:
      "the article calls the low-rank form inside the adapter a reparametrisation; 0.07 % is T5-base, norms weigh more elsewhere",
  },
});

/**
 * Compacter++: only after the feed-forward part, unless `after` says otherwise.
 *
 * @throws {RangeError} as `compacter`.
 * @example
 * ```ts
 * import { compacterPlusPlus } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(compacterPlusPlus({ reduction: 16 }).name, "compacter-plus-plus");
 * ```
 */
export const compacterPlusPlus: DefinedMethod<CompacterOptions> = defineHidden<
  CompacterOptions,
  PhmBottleneck
>({
  ...shared,
  name: "compacter-plus-plus",
  summary: "Compacter after the feed-forward parts alone.",
  facts: { parameters: "2k (d + r) + r + d an adapter, n³ once" },
  aliases: ["compacter++"],
  title: "Compacter++",
  options: { ...shared.options, after: afterOption("feedForward") },
});
