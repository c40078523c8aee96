/**
 * FISH mask. Sung, Nair and Raffel 2021, "Training Neural Networks with Fixed Sparse Masks", arXiv 2111.09839, section 2.
 *
 *   F_j = 1/n Σ_i (∂ log p(y_i | x_i) / ∂θ_j)²        mask: the k elements of largest F, chosen once        θ = θ0 + scatter(δ)
 *
 * The mask comes from `fisherMask` (`fisher_mask.ts`), which squares the gradient of each example by
 * itself. The classifier, which is new, is trained as a whole and counts against the budget: k = ⌊ratio · N⌋
 * − classifier, as in the authors' code (`run_glue_sparse_update.py`). δ starts at zero, so weight decay
 * pulls a weight towards its initial value.
 */
import { adapt, type Method, type MethodDefinition } from "../../core/mod.ts";
import { count, filled, oneOf, option } from "../../core/options/mod.ts";
import { share } from "../shared/number_schemas.ts";
import { fishBudget, fisherMask } from "./fisher_mask.ts";
import { spreadMask, storedMask } from "./masks.ts";
import { sparse, type SparseOptions } from "./sparse.ts";

/**
 * FISH mask as a method. Parameters: `<leaf>.values` [k] and `<leaf>.frozen.indices` [k]; the classifier's
 * leaves as a whole.
 *
 * @throws {RangeError} when the mask is empty; at init, when it belongs to another model.
 * @example
 * ```ts
 * import { fishMask } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const leaf = { path: "lm_head.weight", shape: [4, 4], indices: Int32Array.of(3, 7) };
 * assert.equal(fishMask({ mask: { leaves: [leaf], whole: [] } }).name, "fish-mask");
 * ```
 */
export function fishMask({ mask }: SparseOptions): Method {
  return sparse(fishMaskDefinition, mask);
}

/** How the mask is found. */
const FISHER = {
  ratio: option(share, "share of the model's weights that train, those of a classifier included", 0.005),
  examples: option(count, "how many examples at most; by default the first 1,024"),
  labels: option(
    oneOf("empirical", "expected"),
    "labels of the examples, or the model's distribution",
    "empirical",
  ),
  classifier: option(oneOf("whole", "masked"), "whether a classifier trains as a whole", "whole"),
};

/** `fishMask` in records, and how a run finds the mask. */
export const fishMaskDefinition: MethodDefinition = {
  name: "fish-mask",
  summary: "Trains only the weights with the largest Fisher information.",
  facts: { trains: "⌊ratio N⌋ with the classifier", changes: "the same" },
  title: "FISH mask",
  options: {},
  restore: (config, stored) => fishMask({ mask: storedMask(config, stored) }),
  cli: { rate: 1e-4, flags: [], also: FISHER, head: "all" },
  prepare: async ({ model, options, batches, gradients, seed }) => {
    const mask = await fisherMask(model, batches(1024, gradients && 1), {
      ...filled(options, FISHER),
      gradients,
    });
    return { adapter: adapt(model, fishMask({ mask }), seed) };
  },
  plan: ({ model, options }) => {
    const { masked } = fishBudget(model, filled(options, FISHER));
    return fishMask({ mask: spreadMask(model, masked) });
  },
  survey: {
    kinds: "S",
    storage: "yes",
    memory: "maybe",
    backward: "no",
    overhead: "No overhead",
    trainable: "0.01 - 0.5",
    changed: "0.01 - 0.5",
    differs: "gradients are dense for one weight at a time, and the optimizer's state follows the mask",
  },
  published: {
    setting: "0.5 %",
    make: (model) => fishMask({ mask: spreadMask(model, fishBudget(model, { ratio: 0.005 }).masked) }),
  },
};
