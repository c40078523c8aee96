/**
 * PHM adapter. Karimi Mahabadi, Henderson and Ruder 2021, "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers", arXiv
 * 2106.04647, section 3.1: a Houlsby adapter whose two layers are sums of Kronecker products.
 *
 *   h ← h + PHM_up( σ( PHM_down(h) ) )      PHM(x) = x Σ_i A_i ⊗ B_i + b
 *
 * Each layer has its own rule A, initially normal with standard deviation 0.01 (with a shared rule it is
 * Compacter).
 */
import { type DefinedMethod, fold, type Tensor } from "../../core/mod.ts";
import { bounded, count, option } from "../../core/options/mod.ts";
import { normal } from "../../ops/mod.ts";
import { layerNormTune } from "../selective/layer_norm_tune.ts";
import { activationOption, afterOption, reductionOption } from "../shared/adapter_options.ts";
import { type Activation, activation, bottleneckRank } from "../shared/bottleneck.ts";
import { type AdapterPosition, defineHidden } from "../shared/define_hidden.ts";
import { phmSizes } from "../shared/model_sizes.ts";
import { checkPhm, freshPhm, type Phm, phm, phmSetting } from "./phm.ts";

/** Options of the PHM adapter. */
export interface PhmAdapterOptions {
  /** d / r, default 32. */
  readonly reduction?: number;
  /** n, default 12: terms in the sum, and the rule's size. It divides d and r. */
  readonly dimension?: number;
  /** σ, default "geluTanh" ("gelu_new" in the authors' code). */
  readonly activation?: Activation;
  /** After which parts of a block, default ["attention", "feedForward"]. */
  readonly after?: readonly AdapterPosition[];
}

type Ruled = Phm & { readonly rule: Tensor };
type PhmBottleneck = { readonly down: Ruled; readonly up: Ruled };

/**
 * The PHM adapter as a method. Parameters under each part's path: `down.rule` [n, n, n], `down.blocks` [n, d/n, r/n],
 * `down.bias` [r], `up.rule`, `up.blocks` [n, r/n, d/n], `up.bias` [d].
 *
 * @throws {RangeError} when the dimension is not a positive integer or does not divide d and r, or the
 * reduction is below 1.
 * @example
 * ```ts
 * import { phmAdapter } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(phmAdapter({ dimension: 4 }).name, "phm-adapter");
 * ```
 */
export const phmAdapter: DefinedMethod<PhmAdapterOptions> = defineHidden<PhmAdapterOptions, PhmBottleneck>({
  name: "phm-adapter",
  summary: "Bottleneck adapters whose matrices are sums of Kronecker products.",
  facts: { parameters: "in out / n + out + n³ a layer" },
  aliases: ["phm"],
  title: "PHM adapter",
  options: {
    reduction: reductionOption(32),
    dimension: option(bounded(count, "factors"), "n, the terms of the sum, and the rule's size", 12),
    activation: activationOption("geluTanh"),
    after: afterOption("attention", "feedForward"),
  },
  after: ({ after }) => after,
  fits: ({ width: d }, { reduction, dimension }) =>
    checkPhm({ inFeatures: d, outFeatures: bottleneckRank(d, reduction), dimension }),
  params: ({ width: d }, { reduction, dimension: n }, { key, backend }) => {
    const r = bottleneckRank(d, reduction);
    const layer = (name: string, inFeatures: number, outFeatures: number): Ruled => {
      const seed = fold(key, name);
      return {
        rule: normal(fold(seed, "rule"), [n, n, n], backend, 0.01),
        ...freshPhm(seed, { inFeatures, outFeatures, dimension: n }, backend),
      };
    };
    return { down: layer("down", d, r), up: layer("up", r, d) };
  },
  reads: () => "output",
  delta: ({ down, up }, { y }, { activation: σ }) => phm(up.rule, up, activation(σ)(phm(down.rule, down, y))),
  cli: {
    rate: 3e-3,
    flags: ["bottleneck"],
    options: ({ bottleneck }, spec) => phmSizes(spec, 12, bottleneck),
  },
  survey: {
    kinds: "AR",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN",
    trainable: "0.2",
    changed: "~0.2 or ~1.0",
    differs: "the article calls the Kronecker form inside the adapter a reparametrisation",
  },
  published: phmSetting(12, layerNormTune),
});
