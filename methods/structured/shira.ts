/**
 * SHiRA. Bhardwaj et al. 2024, "Sparse High Rank Adapters", arXiv 2406.13175; its random mask, SHiRA-Rand.
 *
 *   y = W x + b + S x        S [out, in]: c at k = r (in + out) positions, zero elsewhere: as many parameters as LoRA of rank r
 *
 * Initial positions are the first k of PyTorch's `randperm(out · in)` for a seed in ascending order, as in
 * PEFT, and the same in all layers of one size; they are stored. c starts at zero, so the model is initially
 * unchanged. Masks by size, gradient or their product (SHiRA-WM, -Grad, -SNIP) look at weights or data first:
 * `fishMask` takes such masks.
 */
import {
  chooseTargets,
  type DefinedMethod,
  type Model,
  scattered,
  type Spread,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { oneOf, option, seed } from "../../core/options/mod.ts";
import { DEFAULT_SEED, mersenneTwister, torchRandperm } from "../../numerics/torch_random.ts";
import { integers, slice } from "../../ops/mod.ts";
import { defineLinear, type LayerShape } from "../shared/define_linear.ts";
import { type Initial, normal, zeros } from "../shared/initial.ts";
import { sparseRank } from "../shared/model_sizes.ts";
import { rankSchema } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of SHiRA. */
export interface ShiraOptions extends TargetOptions {
  /** r, default 32: the rank of a LoRA with as many parameters. */
  readonly rank?: number;
  /** Seed of the positions; default: that of a new PyTorch generator, as in PEFT. */
  readonly positionSeed?: number | undefined;
  /** Coefficients of zero ("zeros", default) or N(0, 1) ("normal", for tests). */
  readonly initialization?: "zeros" | "normal";
}

/** One layer's coefficients [k], and their positions [2, k]: rows, then columns, of [out, in]. */
export type ShiraParams = { readonly values: Tensor; readonly "frozen.positions": Tensor };

const sizeOf = ({ spec }: Model): number => sparseRank(chooseTargets(spec, {}));

/**
 * SHiRA as a method. Parameters: `values` [k] and `frozen.positions` [2, k] under each layer's path.
 *
 * @throws {RangeError} when the rank is not a positive integer or exceeds a layer's elements, or targets
 * match nothing.
 * @example
 * ```ts
 * import { shira } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(shira({ rank: 8, positionSeed: 3 }).name, "shira");
 * ```
 */
export const shira: DefinedMethod<ShiraOptions> = defineLinear<ShiraOptions, ShiraParams>({
  name: "shira",
  summary: "Trains a few randomly chosen entries of each weight.",
  facts: { parameters: "r (in + out), and their places", merges: "yes" },
  title: "SHiRA",
  options: {
    rank: option(rankSchema, "r, the rank of a LoRA with as many parameters", 32),
    positionSeed: option(seed, "the seed of the positions; by default that of a new PyTorch generator"),
    initialization: option(oneOf("zeros", "normal"), "how the coefficients start", "zeros"),
  },
  keys: "layer",
  params: (layer, { rank: r, positionSeed, initialization }) => {
    const { path, inFeatures, outFeatures } = layer;
    const [k, all] = [r * (inFeatures + outFeatures), inFeatures * outFeatures];
    if (k > all) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put shira of rank ${r} on "${path}" [${outFeatures}, ${inFeatures}]: ${k} positions of ${all} elements`,
      );
    }
    return {
      values: initialization === "normal" ? normal([k]) : zeros([k]),
      "frozen.positions": drawnPositions(k, layer, positionSeed ?? DEFAULT_SEED),
    };
  },
  map: ({ values, "frozen.positions": positions }, _, { outFeatures, inFeatures }) => {
    const spread = (): Spread => ({ rows: slice(positions, 0, 0, 1), columns: slice(positions, 0, 1, 2) });
    return scattered(values, { outFeatures, inFeatures, each: 1 }, 1, spread, [positions]);
  },
  changes: ({ values }) => values.size,
  cli: {
    rate: 1e-3,
    flags: ["rank", "targets"],
    options: ({ rank }, _, places) => ({ rank: rank ?? sparseRank(places) }),
  },
  published: {
    setting: (model) => `r ${sizeOf(model)} on q and v`,
    options: (model) => ({ rank: sizeOf(model) }),
  },
});

/** Rows, then columns. */
function drawnPositions(k: number, { inFeatures, outFeatures }: LayerShape, seed: number): Initial {
  return {
    shape: [2, k],
    make: (_, backend) => {
      const at = Int32Array.from(torchRandperm(mersenneTwister(seed), inFeatures * outFeatures, k)).sort();
      const drawn = [...at.map((n) => Math.floor(n / inFeatures)), ...at.map((n) => n % inFeatures)];
      return integers(drawn, backend, [2, k]);
    },
  };
}
