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
import {
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  key as keyOf,
  type Method,
  paramsAt,
  reading,
  type Tensor,
  under,
} from "../../core/mod.ts";
import { dropout, multiply, ones, zeros } from "../../ops/mod.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
  feedForwards,
} from "../shared/bottleneck.ts";
import { checkReduction } from "./houlsby.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkProbability } from "../shared/option_checks.ts";

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
 * assert.equal(parallelAdapter({ reduction: 48, scale: 2 }).name, "parallelAdapter");
 * ```
 */
export function parallelAdapter(options: ParallelAdapterOptions = {}): Method {
  const { reduction = 2, scale = 4, dropout: p = 0, activation: σ = "relu", reads = "input" } = options;
  checkReduction(reduction);
  checkProbability("dropout", p);
  if (scale !== "learned" && !Number.isFinite(scale)) {
    throw new RangeError(`Expected scale to be a finite number or "learned" but found ${scale}`);
  }
  const run = (params: Parallel, call: HiddenCall): Tensor => {
    const { train, key } = call;
    const dropped = (h: Tensor): Tensor => train && key !== undefined && p > 0 ? dropout(h, p, key) : h;
    const branch = bottleneck(params, reading(call, reads), (h) => dropped(activation(σ)(h))); // [b, t, d]
    return multiply(branch, scale === "learned" ? params.scale! : scale);
  };
  return {
    name: "parallelAdapter",
    config: { reduction, scale, dropout: p, activation: σ, reads },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() =>
        feedForwards(spec, "parallelAdapter").flatMap(({ path, width }) => {
          const rank = bottleneckRank(width, reduction);
          return under(path, {
            down: {
              weight: kaiming(fold(keyOf(key), path), "down", [rank, width], backend),
              bias: zeros([rank], backend),
            },
            up: { weight: zeros([width, rank], backend), bias: zeros([width], backend) },
            ...scale === "learned" && { scale: ones([1], backend) },
          });
        })
      ),
    edits: (params, spec) =>
      feedForwards(spec, "parallelAdapter").map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads,
        delta: fn(paramsAt(params, path) as Parallel, run),
      })),
  };
}
