/** Masks from what they are stored as, and masks of a size alone. */
import {
  dequantizedShape,
  lookup,
  type Model,
  type Restoring,
  type Shape,
  Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import type { JsonOptions } from "../../core/options/mod.ts";
import { weightCount } from "../shared/model_sizes.ts";
import type { SparseMask } from "./sparse.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * The mask that the record of a sparse method and its stored indices describe.
 *
 * @throws {RangeError} when the model lacks one of its weights.
 */
export function storedMask(config: JsonOptions, { model, integers }: Restoring): SparseMask {
  const { shapes = {}, elements = {}, whole = [], lookups } = config as {
    readonly shapes?: Readonly<Record<string, Shape>>; // folders of earlier versions have none
    readonly elements?: Readonly<Record<string, number>>;
    readonly whole?: readonly string[];
    readonly lookups?: readonly string[];
  };
  const leaves = Object.keys(elements).map((path) => {
    if (!(lookup(model.weights, path) instanceof Tensor)) {
      throw rangeError("ADAPTER_MISMATCH", `Cannot use the mask on this model: it has no weight "${path}"`);
    }
    return {
      path,
      shape: shapes[path] ?? dequantizedShape(model, path),
      indices: integers(`${path}.frozen.indices`),
    };
  });
  return { leaves, whole, ...lookups && { lookups } };
}

/** A mask with a number of elements, the first ones of each leaf in proportion: where only sizes matter. */
export function spreadMask(model: Model, elements: number): SparseMask {
  const all = weightCount(model);
  let [seen, taken] = [0, 0];
  const leaves = weightLeaves(model.weights).map(([path, { size }]) => {
    seen += size;
    const upTo = Math.round(elements * seen / all);
    const indices = Int32Array.from({ length: upTo - taken }, (_, i) => i);
    taken = upTo;
    return { path, shape: dequantizedShape(model, path), indices };
  });
  return { leaves, whole: [] };
}

/** The papers' 0.5 % of a model's weights. */
export function halfPercent(model: Model): number {
  return Math.max(1, Math.floor(0.005 * weightCount(model)));
}
