/**
 * Pfeiffer adapter. Pfeiffer et al. 2020, "AdapterFusion: Non-Destructive Task Composition for Transfer
 * Learning", arXiv 2005.00247, section 3 and figure 5; one bottleneck per block, after the feed-forward part.
 *
 *   h ← h + U σ(D z + b_D) + b_U        z = LN(h + x)        D [r, d]   U [d, r]
 *
 * h is the feed-forward output and x what will be added to it, so the adapter reads the normed sum but is added to h alone;
 * the same frozen LN then follows on the result (as in AdapterHub's code, methods/modeling.py). A pre-norm block has no LN
 * there: z = h + x. With `reads: "output"` z = h, the wiring of Houlsby's adapter and of AdaMix.
 */
import type { DefinedMethod } from "../../core/mod.ts";
import { reading } from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { activationOption, reductionOption } from "../shared/adapter_options.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
  freshBottleneck,
} from "../shared/bottleneck.ts";
import { defineHidden } from "../shared/define_hidden.ts";
import { reductionOf } from "../shared/model_sizes.ts";

/** Options of the Pfeiffer adapter. */
export interface PfeifferOptions {
  /** d / r, default 16. */
  readonly reduction?: number;
  /** σ, default "relu". */
  readonly activation?: Activation;
  /** What the adapter reads: LN(h + x) (default) or h. */
  readonly reads?: "normed" | "output";
}

/**
 * The Pfeiffer adapter as a method. Parameters are stored under the feed-forward part's path,
 * `….mlp.down.weight`. Weights start normal with deviation 0.02, so the model is nearly but not exactly
 * unchanged initially.
 *
 * @throws {RangeError} when the reduction is below 1, or at init when the model has no feed-forward part.
 * @example
 * ```ts
 * import { pfeiffer } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(pfeiffer({ reduction: 8 }).name, "pfeiffer");
 * ```
 */
export const pfeiffer: DefinedMethod<PfeifferOptions> = defineHidden<PfeifferOptions, Bottleneck>({
  name: "pfeiffer",
  summary: "Adds a bottleneck network after the feed-forward part of every block.",
  facts: { parameters: "L (2rd + r + d)" },
  title: "Pfeiffer adapter",
  options: {
    reduction: reductionOption(16),
    activation: activationOption("relu"),
    reads: option(oneOf("normed", "output"), "what the adapter reads: LN(h + x), or h", "normed"),
  },
  params: ({ width }, { reduction }, { key, backend }) =>
    freshBottleneck(key, width, bottleneckRank(width, reduction), backend),
  reads: ({ reads }) => reads,
  delta: (p, call, { reads, activation: σ }) => bottleneck(p, reading(call, reads), activation(σ)),
  cli: {
    rate: 5e-4,
    flags: ["bottleneck"],
    options: ({ bottleneck }, spec) => ({ reduction: reductionOf(bottleneck, spec) }),
  },
  published: { setting: "r d/16" },
});
