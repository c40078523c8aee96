/**
 * Parallel adapter, scaled. He et al. 2021, "Towards a Unified View of Parameter-Efficient Transfer Learning", arXiv
 * 2110.04366, sections 3.3 and 4.6.
 *
 *   h ← h + s (U drop(ReLU(D x + b_D)) + b_U)        h = FFN(x)   D [r, d]   U [d, r]
 *
 * x is the feed-forward part's own input, so the adapter runs parallel to it. s also multiplies the bias; the
 * adapter has no skip connection and no norm. D is initialized as in PyTorch, its bias, U and b_U at zero:
 * the model is initially unchanged. `scale: "learned"` trains s starting from 1, an option in the authors'
 * code (petl_factory.py).
 */
import { type DefinedMethod, reading, type Tensor } from "../../core/mod.ts";
import { any, number, oneOf, option, probability } from "../../core/options/mod.ts";
import { dropout, multiply, ones, zeros } from "../../ops/mod.ts";
import { activationOption, reductionOption } from "../shared/adapter_options.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
} from "../shared/bottleneck.ts";
import { defineHidden } from "../shared/define_hidden.ts";
import { kaiming } from "../shared/initial_factors.ts";
import { reductionOf } from "../shared/model_sizes.ts";

/** Options of the parallel adapter. */
export interface ParallelAdapterOptions {
  /** d / r, default 2: r = 512 on BART-large. The paper's small setting, r = 16 on RoBERTa-base, is 48 with scale 2. */
  readonly reduction?: number;
  /** s, default 4, or "learned": one scalar per layer, starting from 1. */
  readonly scale?: number | "learned";
  /** Dropout probability after σ in training, default 0. */
  readonly dropout?: number;
  /** σ, default "relu". */
  readonly activation?: Activation;
  /**
   * What the branch reads: the feed-forward part's own input (default), or the residual stream, in a pre-norm
   * block before the norm, as in AdapterHub's code.
   */
  readonly reads?: "input" | "residual";
}

/** One layer's parameters. */
type Parallel = Bottleneck & { readonly scale?: Tensor };

/**
 * The parallel adapter as a method. Parameters are stored under the feed-forward part's path,
 * `….mlp.down.weight`; a learned scale is `….mlp.scale` [1].
 *
 * @throws {RangeError} when the reduction is below 1, the scale not finite, or dropout not in [0, 1), or at init when the
 * model has no feed-forward part.
 * @example
 * ```ts
 * import { parallelAdapter } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(parallelAdapter({ reduction: 48, scale: 2 }).name, "parallel-adapter");
 * ```
 */
export const parallelAdapter: DefinedMethod<ParallelAdapterOptions> = defineHidden<
  ParallelAdapterOptions,
  Parallel
>({
  name: "parallel-adapter",
  summary: "Adds a bottleneck network beside each feed-forward part, on the same input.",
  facts: { parameters: "L (2rd + r + d)" },
  aliases: ["parallel"],
  title: "parallel adapter",
  options: {
    reduction: reductionOption(2),
    scale: option(any(number, oneOf("learned")), "s, or one trained scalar per layer", 4),
    dropout: option(probability, "dropout after σ in training", 0),
    activation: activationOption("relu"),
    reads: option(
      oneOf("input", "residual"),
      "the feed-forward part's input, or the residual stream",
      "input",
    ),
  },
  params: ({ width: d }, { reduction, scale }, { key, backend }) => {
    const r = bottleneckRank(d, reduction);
    return {
      down: { weight: kaiming(key, "down", [r, d], backend), bias: zeros([r], backend) },
      up: { weight: zeros([d, r], backend), bias: zeros([d], backend) },
      ...scale === "learned" && { scale: ones([1], backend) },
    };
  },
  reads: ({ reads }) => reads,
  delta: (params, call, { reads, activation: σ, dropout: p, scale }) => {
    const { train, key } = call;
    const dropped = (h: Tensor): Tensor => train && key !== undefined && p > 0 ? dropout(h, p, key) : h;
    const branch = bottleneck(params, reading(call, reads), (h) => dropped(activation(σ)(h))); // [b, t, d]
    return multiply(branch, scale === "learned" ? params.scale! : scale);
  },
  cli: {
    rate: 5e-4,
    flags: ["bottleneck", "dropout"],
    options: ({ bottleneck }, spec) => ({ reduction: reductionOf(bottleneck, spec) }),
  },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN",
    trainable: "0.5",
    changed: "0.5",
    differs:
      "d/48 is the authors' r 16 on RoBERTa-base, 0.24 %; 0.5 % is twice that, and 6.2 % their r 512 on XSum",
  },
  published: { setting: "r d/48", options: () => ({ reduction: 48, scale: 2 }) },
});
