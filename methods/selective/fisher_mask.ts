/** The preparation of a FISH mask: the Fisher information of some examples, and its largest elements. */
import {
  type Batch,
  fisher,
  type FisherOptions,
  leaves,
  lookup,
  type Model,
  type Tensor,
} from "../../core/mod.ts";
import { largest } from "../../ops/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import { weightCount } from "../shared/model_sizes.ts";
import type { SparseMask } from "./sparse.ts";
import { rangeError } from "../../errors/error.ts";

/** Size of the mask, and how it is determined. */
export interface FisherMaskOptions extends Pick<FisherOptions, "labels" | "examples" | "gradients"> {
  /** Share of all the model's weights that are trained, including the classifier's; 0.005 in the paper. */
  readonly ratio: number;
  /**
   * Whether the classifier is trained as a whole and counts against the share ("whole", default), or is
   * masked like all other weights.
   */
  readonly classifier?: "whole" | "masked";
}

/** A budget as numbers of weights. */
export interface FishBudget {
  /** ⌊ratio · N⌋. */
  readonly total: number;
  /** Weights of the classifier, which are trained in any case. */
  readonly whole: number;
  /** Weights left for the mask. */
  readonly masked: number;
}

/**
 * The budget of a mask, by shapes alone.
 *
 * @throws {RangeError} when the ratio is not between 0 and 1, or nothing is left besides the classifier.
 * @example
 * ```ts
 * import { fishBudget, freshModel, reference, smallConfig } from "@graft/peft";
 * import { taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const config = taskConfig(smallConfig("bert"), { kind: "classify", names: ["bad", "good"] });
 * const { total, whole, masked } = fishBudget(freshModel(config, { backend: reference(), key: 0 }), { ratio: 0.1 });
 * assert.equal(whole, 2 * 16 + 2); // the classifier's weight and bias
 * assert.equal(masked, total - whole);
 * ```
 */
export function fishBudget(
  model: Model,
  { ratio, classifier = "whole" }: Pick<FisherMaskOptions, "ratio" | "classifier">,
): FishBudget {
  if (!(ratio > 0 && ratio <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected ratio above 0 and up to 1 but found ${ratio}`);
  }
  const all = weightCount(model);
  const paths = classifier === "whole" ? classifierLeaves(model.spec) : [];
  const whole = paths.reduce((n, path) => n + (lookup(model.weights, path) as Tensor).size, 0);
  const total = Math.floor(ratio * all);
  if (total - whole < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected a budget of at least one weight beside the classifier's ${whole} but found ${total} of ${all} ` +
        `(ratio ${ratio})`,
    );
  }
  return { total, whole, masked: total - whole };
}

/**
 * The mask for `fishMask`: the weights of largest Fisher information, all leaves together. The paper uses
 * 1,024 examples.
 *
 * @throws {RangeError} as `fishBudget` and `fisher`.
 * @example
 * ```ts
 * import { fishBudget, fisherMask, fishMask, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const batches = [{ inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] }];
 * const mask = await fisherMask(model, batches, { ratio: 0.01 });
 * const chosen = mask.leaves.reduce((n, { indices }) => n + indices.length, 0);
 * assert.equal(chosen, fishBudget(model, { ratio: 0.01 }).masked);
 * assert.equal(fishMask({ mask }).name, "fish-mask"); // the method that trains them
 * ```
 */
export async function fisherMask(
  model: Model,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  options: FisherMaskOptions,
): Promise<SparseMask> {
  const { classifier = "whole", ratio: _, ...rest } = options;
  const { masked } = fishBudget(model, options);
  const whole = classifier === "whole" ? classifierLeaves(model.spec) : [];
  const found = await fisher(model, batches, { ...rest, parameters: (path) => !whole.includes(path) });
  try {
    const parts = leaves(found.diagonal);
    const indices = await largest(parts.map(([, t]) => t), masked);
    return { leaves: parts.map(([path, t], i) => ({ path, shape: t.shape, indices: indices[i]! })), whole };
  } finally {
    found.dispose();
  }
}
