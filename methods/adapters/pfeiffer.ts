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
import {
  fn,
  fold,
  type HiddenEdit,
  key as keyOf,
  type Method,
  nest,
  paramsAt,
  reading,
  scope,
  type Synchronous,
  type Tree,
  under,
} from "../../core/mod.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
  feedForwards,
  freshBottleneck,
} from "../shared/bottleneck.ts";

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
export function pfeiffer(options: PfeifferOptions = {}): Method {
  const { reduction = 16, activation: σ = "relu", reads = "normed" } = options;
  if (!(reduction >= 1)) throw new RangeError(`Expected reduction to be at least 1 but found ${reduction}`);
  return {
    name: "pfeiffer",
    config: { reduction, activation: σ, reads },
    init: ({ model, key }) =>
      scope((): Synchronous<Tree> =>
        nest(
          feedForwards(model.spec, "pfeiffer").flatMap(({ path, width }) => {
            const rank = bottleneckRank(width, reduction);
            return under(path, freshBottleneck(fold(keyOf(key), path), width, rank, model.backend));
          }),
        ) as Tree
      ),
    edits: (params, spec) =>
      feedForwards(spec, "pfeiffer").map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads,
        delta: fn(
          paramsAt(params, path) as Bottleneck,
          (p, call) => bottleneck(p, reading(call, reads), activation(σ)),
        ),
      })),
  };
}
