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
import {
  type Backend,
  fn,
  fold,
  type HiddenEdit,
  type Key,
  key as keyOf,
  type Method,
  paramsAt,
  type Spec,
  type SublayerPlace,
  under,
} from "../../core/mod.ts";
import { truncatedNormal, zeros } from "../../ops/mod.ts";
import type { Affine } from "../shared/affine.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
} from "../shared/bottleneck.ts";
import { freshParams } from "../shared/initial_factors.ts";

/** The parts of a block after which adapters are placed. */
export type AdapterPosition = SublayerPlace["role"];

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
export function houlsby(options: HoulsbyOptions = {}): Method {
  const { reduction = 16, activation: σ = "gelu", after = TWICE, deviation = 1e-3 } = options;
  checkReduction(reduction);
  if (!(deviation >= 0)) throw new RangeError(`Expected deviation to be at least 0 but found ${deviation}`);
  return {
    name: "houlsby",
    config: { reduction, activation: σ, after, deviation },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() =>
        adapterSites(spec, "houlsby", after).flatMap(({ path, width }) =>
          under(
            path,
            nearZero(fold(keyOf(key), path), width, bottleneckRank(width, reduction), deviation, backend),
          )
        )
      ),
    edits: (params, spec) =>
      adapterSites(spec, "houlsby", after).map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads: "output",
        delta: fn(paramsAt(params, path) as Bottleneck, (p, { y }) => bottleneck(p, y, activation(σ))),
      })),
  };
}

/** After attention and feed-forward part. */
export const TWICE: readonly AdapterPosition[] = ["attention", "feedForward"];

/** The parts of the blocks with one of the roles. @throws {RangeError} when there is none. */
export function adapterSites(
  spec: Spec,
  method: string,
  after: readonly AdapterPosition[],
): readonly SublayerPlace[] {
  if (after.length === 0) {
    throw new RangeError(`Expected after to name at least one part of a block for ${method}`);
  }
  const found = spec.sublayers.filter(({ role }) => after.includes(role));
  if (found.length === 0) {
    throw new RangeError(`Cannot place ${method}: the model offers no ${after.join(" or ")} part`);
  }
  return found;
}

/** @throws {RangeError} when a reduction is below 1. */
export function checkReduction(reduction: number): void {
  if (!(reduction >= 1)) throw new RangeError(`Expected reduction to be at least 1 but found ${reduction}`);
}

function nearZero(key: Key, width: number, rank: number, deviation: number, backend: Backend): Bottleneck {
  const layer = (name: string, out: number, inner: number): Affine => ({
    weight: truncatedNormal(fold(key, name), [out, inner], backend, deviation),
    bias: zeros([out], backend),
  });
  return { down: layer("down", rank, width), up: layer("up", width, rank) };
}
