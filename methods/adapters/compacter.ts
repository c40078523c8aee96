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
import {
  fn,
  fold,
  type HiddenEdit,
  key as keyOf,
  type Method,
  paramsAt,
  reading,
  type Tensor,
  under,
} from "../../core/mod.ts";
import { normal } from "../../ops/mod.ts";
import { type Activation, activation, bottleneckRank } from "../shared/bottleneck.ts";
import { type AdapterPosition, adapterSites, checkReduction, TWICE } from "./houlsby.ts";
import { checkPhm, freshFactoredPhm, type Phm, phm } from "./phm.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

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

type PhmBottleneck = { readonly down: Phm; readonly up: Phm };

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
export function compacter(options: CompacterOptions = {}): Method {
  const { reduction = 32, dimension: n = 4, rank: k = 1, activation: σ = "geluTanh" } = options;
  const { after = TWICE, reads = "output" } = options;
  checkReduction(reduction);
  checkPositive("dimension", n);
  checkPositive("rank", k);
  return {
    name: "compacter",
    config: { reduction, dimension: n, rank: k, activation: σ, after, reads },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() => {
        const sites = adapterSites(spec, "compacter", after);
        for (const { width } of sites) {
          checkPhm({ inFeatures: width, outFeatures: bottleneckRank(width, reduction), dimension: n });
        }
        return [
          ["rule", normal(fold(keyOf(key), "rule"), [n, n, n], backend, 1e-4)],
          ...sites.flatMap(({ path, width }) => {
            const r = bottleneckRank(width, reduction);
            const layer = (name: string, inFeatures: number, outFeatures: number): Phm =>
              freshFactoredPhm(
                fold(fold(keyOf(key), path), name),
                { inFeatures, outFeatures, dimension: n },
                k,
                backend,
              );
            return under(path, { down: layer("down", width, r), up: layer("up", r, width) });
          }),
        ];
      }),
    edits: (params, spec) =>
      adapterSites(spec, "compacter", after).map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads,
        delta: fn(
          { rule: params["rule"] as Tensor, ...paramsAt(params, path) as PhmBottleneck },
          ({ rule, down, up }, call) => phm(rule, up, activation(σ)(phm(rule, down, reading(call, reads)))),
        ),
      })),
  };
}

/**
 * Compacter++: only after the feed-forward part.
 *
 * @throws {RangeError} as `compacter`.
 * @example
 * ```ts
 * import { compacterPlusPlus } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(compacterPlusPlus().config["after"], ["feedForward"]);
 * ```
 */
export function compacterPlusPlus(options: Omit<CompacterOptions, "after"> = {}): Method {
  return compacter({ ...options, after: ["feedForward"] });
}
