/** `mergeLoss`: how much of an adapter's update is lost when merged weights are rounded to a dtype. */
import {
  dispose,
  type DType,
  read,
  scope,
  type Synchronous,
  Tensor,
  transiently,
  type Tree,
} from "../../tensor/mod.ts";
import { concat, equal, multiply, reshape, subtract, sum, sumOfSquares } from "../../ops/mod.ts";
import { castWeight, isStoredTransposed } from "../trees/matrix_layout.ts";
import { merge, type MergeOptions, storedAs } from "./merge.ts";
import type { Adapter } from "./method.ts";
import type { Advancing } from "../options/advancing.ts";
import type { Model } from "../trees/model.ts";
import { lookup, weightLeaves } from "../trees/weights.ts";

/** What rounding loses of the updates of some weights. ΔW = exact − base. */
export interface UpdateLoss {
  /** Share of ‖ΔW‖² lost, ‖stored − exact‖² / ‖ΔW‖². Above 1 where rounding errors exceed the update. */
  readonly lost: number;
  /** Share of the updated entries whose stored value is the same as without the update. */
  readonly unchanged: number;
}

/** Losses of all weights together and of each one. */
export interface MergeLoss extends UpdateLoss {
  /** Losses per weight. */
  readonly weights: readonly (UpdateLoss & { readonly path: string; readonly dtype: DType })[];
}

/** ‖stored − exact‖², ‖ΔW‖², updated entries that rounding leaves unchanged, updated entries. */
type Sums = readonly [error: number, update: number, unchanged: number, entries: number];

/**
 * How much of an adapter's update `merge(model, adapter, options)` rounds away. On a quantized base the
 * update is measured against the dequantized weights. Merges one weight at a time, in f32.
 *
 * @throws {TypeError} as `merge`.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, mergeLoss, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lora({ rank: 2, initialization: "none" }));
 * const { lost, weights } = await mergeLoss(model, adapter, { dtype: "bf16" });
 * assert.equal(weights.length, 4); // q and v in two layers
 * assert.ok(lost > 0 && lost < 0.1);
 * ```
 */
export async function mergeLoss<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  options: MergeOptions & Advancing = {},
): Promise<MergeLoss> {
  const exact = merge(model, adapter, { leaves: "lazy" });
  try {
    const weights: (UpdateLoss & { path: string; dtype: DType })[] = [];
    let all: Sums = [0, 0, 0, 0];
    const changed = weightLeaves(exact.weights).filter(([path, merged]) =>
      lookup(model.weights, path) !== merged
    );
    for (const [path, merged] of changed) {
      const found = lookup(model.weights, path);
      const before = found ?? tiedTo(model, path);
      const dtype = storedAs(path, merged, model, options);
      const inOut = isStoredTransposed(model.spec, path);
      const part = await sumsOf(before instanceof Tensor ? before : undefined, merged, dtype, inOut);
      weights.push({ path, dtype, ...lossOf(part) });
      all = [all[0] + part[0], all[1] + part[1], all[2] + part[2], all[3] + part[3]];
      options.advanced?.(weights.length, changed.length);
    }
    return { ...lossOf(all), weights };
  } finally {
    exact.dispose();
  }
}

/** The matrix that a tied head uses until a merge gives it one of its own. */
function tiedTo(model: Model, path: string): ReturnType<typeof lookup> {
  const head = model.spec.heads.find((place) => `${place.path}.weight` === path);
  return head?.tiedTo === undefined ? undefined : lookup(model.weights, `${head.tiedTo}.weight`);
}

const lossOf = ([error, update, unchanged, entries]: Sums): UpdateLoss => ({
  lost: update === 0 ? 0 : error / update,
  unchanged: entries === 0 ? 0 : unchanged / entries,
});

async function sumsOf(
  base: Tensor | undefined,
  merged: Tensor,
  dtype: DType,
  inOut: boolean,
): Promise<Sums> {
  const sums = transiently(() =>
    scope((): Synchronous<Tensor> => {
      const rounded = (t: Tensor): Tensor => castWeight(castWeight(t, dtype, inOut), "f32", inOut);
      const plain = base === undefined ? subtract(merged, merged) : castWeight(base, "f32", inOut);
      const update = subtract(merged, plain);
      const stored = rounded(merged);
      const changed = subtract(1, equal(update, 0));
      const kept = multiply(changed, equal(stored, rounded(plain)));
      const parts = [sumOfSquares(subtract(stored, merged)), sumOfSquares(update), sum(kept), sum(changed)];
      return concat(parts.map((part) => reshape(part, [1])));
    })
  );
  const [error, update, unchanged, entries] = await read(sums);
  dispose(sums);
  return [error!, update!, unchanged!, entries!];
}
