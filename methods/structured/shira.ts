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
  fold,
  freshTargets,
  key as keyOf,
  type MatrixPlace,
  type Method,
  paramsAt,
  scattered,
  sizesOf,
  type Spread,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { integers, normal, slice, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive, checkSeed } from "../shared/option_checks.ts";
import { DEFAULT_SEED, mersenneTwister, torchRandperm } from "../../numerics/torch_random.ts";

/** Options of SHiRA. */
export interface ShiraOptions extends TargetOptions {
  /** r, default 32: the rank of a LoRA with as many parameters. */
  readonly rank?: number;
  /** Seed of the positions; default: that of a new PyTorch generator, as in PEFT. */
  readonly positionSeed?: number;
  /** Coefficients of zero ("zeros", default) or N(0, 1) ("normal", for tests). */
  readonly initialization?: "zeros" | "normal";
}

/** One layer's coefficients [k], and their positions [2, k]: rows, then columns, of [out, in]. */
export type ShiraParams = { readonly values: Tensor; readonly frozen: { readonly positions: Tensor } };

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
export function shira(options: ShiraOptions = {}): Method {
  checkPositive("rank", options.rank ?? 32);
  checkSeed("positionSeed", options.positionSeed ?? DEFAULT_SEED);
  return {
    name: "shira",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        freshTargets(model.spec, options).flatMap((place) => {
          const k = shiraCount(place, options);
          const start = options.initialization === "normal"
            ? normal(fold(keyOf(key), place.path), [k], model.backend)
            : zeros([k], model.backend);
          const drawn = drawnPositions(k, place, options.positionSeed ?? DEFAULT_SEED);
          return [
            [`${place.path}.values`, start] as const,
            [`${place.path}.frozen.positions`, integers(drawn, model.backend, [2, k])] as const,
          ];
        })
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place) => {
        const { values, frozen } = paramsAt(params, place.path) as ShiraParams;
        const { inFeatures, outFeatures } = sizesOf(place);
        const { positions } = frozen;
        const spread = (): Spread => ({
          rows: slice(positions, 0, 0, 1),
          columns: slice(positions, 0, 1, 2),
        });
        const map = scattered(values, { outFeatures, inFeatures, each: 1 }, 1, spread, [positions]);
        return {
          kind: "linear",
          path: place.path,
          changes: values.size,
          change: { form: "add", map },
        };
      }),
  };
}

/**
 * k for a layer.
 *
 * @throws {RangeError} when the layer has fewer elements.
 * @example
 * ```ts
 * import { freshModel, reference, shiraCount, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(shiraCount(spec.linears[0]!, { rank: 2 }), 2 * (16 + 16));
 * ```
 */
export function shiraCount(place: MatrixPlace, options: ShiraOptions): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = options.rank ?? 32;
  const k = r * (inFeatures + outFeatures);
  if (k > inFeatures * outFeatures) {
    throw new RangeError(
      `Cannot put shira of rank ${r} on "${place.path}" [${outFeatures}, ${inFeatures}]: ${k} positions of ${
        inFeatures * outFeatures
      } elements`,
    );
  }
  return k;
}

/** Rows, then columns. */
function drawnPositions(k: number, place: MatrixPlace, seed: number): readonly number[] {
  const { inFeatures, outFeatures } = sizesOf(place);
  const chosen = Int32Array.from(torchRandperm(mersenneTwister(seed), inFeatures * outFeatures, k)).sort();
  return [...chosen.map((at) => Math.floor(at / inFeatures)), ...chosen.map((at) => at % inFeatures)];
}
