/**
 * AdaMix. Wang et al. 2022, "AdaMix: Mixture-of-Adaptations for Parameter-efficient Model Tuning", arXiv 2205.12410.
 *
 *   training   h ← h + U_j σ(D_i h + a_i) + b_j      i, j uniform, redrawn each pass, separately for D and U and each layer
 *   inference  h ← h + Ū σ(D̄ h + ā) + b̄              averages over the experts, of weights and biases
 *
 * Averaging D and U separately is not the same as averaging their products: equal initial values and the
 * consistency loss keep the experts close to each other (`adamixLoss` in recipes). h is the feed-forward
 * output, the adapter's residual its own input. One U for all experts by default, as in the authors' scripts
 * (`sharing_up=1`).
 */
import {
  bitsAt,
  type DefinedMethod,
  fold,
  type HiddenCall,
  type Key,
  mapTree,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { bounded, count, oneOf, option } from "../../core/options/mod.ts";
import { broadcastTo, mean, reshape, slice } from "../../ops/mod.ts";
import { activationOption, reductionOption } from "../shared/adapter_options.ts";
import { type Affine, freshAffine } from "../shared/affine.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
} from "../shared/bottleneck.ts";
import { defineHidden } from "../shared/define_hidden.ts";
import { reductionOf } from "../shared/model_sizes.ts";
import { adamixGradients } from "./adamix_loss.ts";
import { pfeiffer } from "./pfeiffer.ts";

/** Options of AdaMix. */
export interface AdamixOptions {
  /** M, default 4. */
  readonly experts?: number;
  /** d / r, default 16. */
  readonly reduction?: number;
  /** σ, default "gelu". */
  readonly activation?: Activation;
  /** Which layers have several experts: D alone with one U (default), or both. */
  readonly mixes?: "down" | "both";
}

/**
 * AdaMix as a method. Parameters under the feed-forward part's path: `down.weight` [M, r, d], `down.bias` [M,
 * r], `up.weight` [M or 1, d, r], `up.bias` [M or 1, d]. The experts start as copies of one layer, uniform in
 * ±1/√in. `finalize` returns their average, a `pfeiffer` adapter.
 *
 * @throws {RangeError} when experts is not a positive integer or the reduction is below 1.
 * @example
 * ```ts
 * import { adamix } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(adamix({ experts: 8 }).name, "adamix");
 * ```
 */
export const adamix: DefinedMethod<AdamixOptions> = defineHidden<AdamixOptions, Bottleneck>({
  name: "adamix",
  summary: "Trains several bottleneck adapters in each block by turns, and keeps their average.",
  facts: { parameters: "kept L (2rd + r + d), trained up to M times that" },
  title: "AdaMix",
  options: {
    experts: option(bounded(count, "parts"), "M, the number of experts", 4),
    reduction: reductionOption(16),
    activation: activationOption("gelu"),
    mixes: option(oneOf("down", "both"), "which layers have several experts: D alone, or both", "down"),
  },
  params: ({ width: d }, { experts, reduction, mixes }, { key, backend }) => {
    const r = bottleneckRank(d, reduction);
    const copies = (name: string, n: number, out: number, inner: number): Affine =>
      mapTree(
        freshAffine(fold(key, name), out, inner, backend),
        (t) => broadcastTo(reshape(t, [1, ...t.shape]), [n, ...t.shape]),
      );
    return { down: copies("down", experts, r, d), up: copies("up", mixes === "both" ? experts : 1, d, r) };
  },
  reads: () => "output",
  delta: (p, call, { activation: σ }) => bottleneck(expertOf(p, call), call.y, activation(σ)),
  finalize: (params, { reduction, activation }) => ({
    method: pfeiffer({ reduction, activation, reads: "output" }),
    params: scope((): Synchronous<Tree> => mapTree(params, average)),
  }),
  cli: {
    rate: 5e-4,
    flags: ["bottleneck"],
    options: ({ bottleneck }, spec) => ({ reduction: reductionOf(bottleneck, spec) }),
  },
  gradients: adamixGradients,
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN",
    trainable: "0.1 - 0.2",
    changed: "0.1 - 0.2",
    differs:
      "the article counts the averaged experts, not those that train: 0.23 % of RoBERTa-large at d/64, 0.8 % of BERT-base at d/16",
  },
  published: { setting: "4 experts, r d/16" },
});

/** The expert that a pass uses: a random one in training, else the average. */
function expertOf({ down, up }: Bottleneck, call: HiddenCall): Bottleneck {
  if (!call.train || call.key === undefined) return mapTree({ down, up }, average);
  const route = adamixRoute(call.key, down.weight.shape[0]!, up.weight.shape[0]!);
  return { down: mapTree(down, (t) => nth(t, route.down)), up: mapTree(up, (t) => nth(t, route.up)) };
}

/**
 * The experts that a place uses under its key. They depend on the key alone, so that a recomputed pass uses
 * the same ones.
 *
 * @example
 * ```ts
 * import { adamixRoute, key } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { down, up } = adamixRoute(key(3), 4, 4);
 * assert.ok(down < 4 && up < 4);
 * // A pass that is recomputed takes the same experts.
 * assert.deepEqual(adamixRoute(key(3), 4, 4), { down, up });
 * ```
 */
export function adamixRoute(
  key: Key,
  downs: number,
  ups: number,
): { readonly down: number; readonly up: number } {
  const draw = (name: string, n: number): number => Math.floor(bitsAt(fold(key, name), 0) / 2 ** 32 * n);
  return { down: draw("down", downs), up: draw("up", ups) };
}

const average = (t: Tensor): Tensor => mean(t, { axis: 0 });
const nth = (t: Tensor, i: number): Tensor => reshape(slice(t, 0, i, i + 1), t.shape.slice(1));
