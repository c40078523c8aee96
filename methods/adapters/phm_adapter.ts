/**
 * PHM adapter. Karimi Mahabadi, Henderson and Ruder 2021, "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers", arXiv
 * 2106.04647, section 3.1: a Houlsby adapter whose two layers are sums of Kronecker products.
 *
 *   h ← h + PHM_up( σ( PHM_down(h) ) )      PHM(x) = x Σ_i A_i ⊗ B_i + b
 *
 * Each layer has its own rule A, initially normal with standard deviation 0.01 (with a shared rule it is
 * Compacter).
 */
import {
  fn,
  fold,
  type HiddenEdit,
  key as keyOf,
  type Method,
  paramsAt,
  type Tensor,
  under,
} from "../../core/mod.ts";
import { normal } from "../../ops/mod.ts";
import { type Activation, activation, bottleneckRank } from "../shared/bottleneck.ts";
import { type AdapterPosition, adapterSites, checkReduction, TWICE } from "./houlsby.ts";
import { checkPhm, freshPhm, type Phm, phm } from "./phm.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

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
 * assert.equal(phmAdapter({ dimension: 4 }).name, "phmAdapter");
 * ```
 */
export function phmAdapter(options: PhmAdapterOptions = {}): Method {
  const { reduction = 32, dimension = 12, activation: σ = "geluTanh", after = TWICE } = options;
  checkReduction(reduction);
  checkPositive("dimension", dimension);
  return {
    name: "phmAdapter",
    config: { reduction, dimension, activation: σ, after },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() =>
        adapterSites(spec, "phmAdapter", after).flatMap(({ path, width }) => {
          const rank = bottleneckRank(width, reduction);
          checkPhm({ inFeatures: width, outFeatures: rank, dimension });
          const layer = (name: string, inFeatures: number, outFeatures: number): Ruled => {
            const seed = fold(fold(keyOf(key), path), name);
            return {
              rule: normal(fold(seed, "rule"), [dimension, dimension, dimension], backend, 0.01),
              ...freshPhm(seed, { inFeatures, outFeatures, dimension }, backend),
            };
          };
          return under(path, { down: layer("down", width, rank), up: layer("up", rank, width) });
        })
      ),
    edits: (params, spec) =>
      adapterSites(spec, "phmAdapter", after).map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads: "output",
        delta: fn(
          paramsAt(params, path) as PhmBottleneck,
          ({ down, up }, { y }) => phm(up.rule, up, activation(σ)(phm(down.rule, down, y))),
        ),
      })),
  };
}
