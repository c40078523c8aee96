/** `graft`: makes an adapter part of a model. */
import { type Branch, EDITS, updateBranch } from "../trees/weights.ts";
import type { Tree } from "../../tensor/mod.ts";
import type { Edit } from "../edits/edit.ts";
import { branchOf, checkDepth, checkSizes } from "../trees/edit_checks.ts";
import type { Adapter } from "./method.ts";
import type { Model } from "../trees/model.ts";

/**
 * The model with the adapter's edits folded into its tree. Shares every weight; nothing is copied or changed.
 * Grafting again puts later edits after earlier ones. With one argument it returns a function of the model,
 * for use in `pipe`.
 *
 * @throws {RangeError} when an edit names a place that the model does not have, or its sizes differ from
 * those of the layer there, or when the adapter has parameters for blocks that the model lacks.
 * @example
 * ```ts
 * import { adapt, allEdits, freshModel, graft, lookup, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tuned = graft(model, adapt(model, lora({ rank: 2 })));
 * assert.equal(allEdits(tuned.weights).length, 4); // q and v in two layers
 * assert.equal(allEdits(model.weights).length, 0); // the model is as it was
 * const path = "model.norm.weight";
 * assert.equal(lookup(tuned.weights, path), lookup(model.weights, path)); // and its weights are shared
 * ```
 */
export function graft<M extends Model, P extends Tree>(model: M, adapter: Adapter<P>): M;
/** The curried form, for use in `pipe`. */
export function graft<P extends Tree>(adapter: Adapter<P>): <M extends Model>(model: M) => M;
export function graft<M extends Model, P extends Tree>(
  first: M | Adapter<P>,
  adapter?: Adapter<P>,
): M | (<N extends Model>(model: N) => N) {
  if (adapter === undefined) return (model) => graft(model, first as Adapter<P>);
  const model = first as M;
  const { name } = adapter.method;
  checkDepth(adapter.params, model.spec, `Cannot graft ${name}`);
  const edits = adapter.method.edits(adapter.params, model.spec);
  checkSizes(edits, model.spec, `Cannot graft ${name}`);
  return { ...model, weights: withEdits(model.weights, edits, name), dispose: () => {} };
}

/**
 * A tree with edits added at their places.
 *
 * @example
 * ```ts
 * import { allEdits, reference, replaceLeaf, tensor, weightTree, withEdits } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const weights = weightTree([["norm.weight", tensor([1, 1], { backend })]]);
 * const value = tensor([5, 6], { backend });
 * assert.equal(allEdits(withEdits(weights, [replaceLeaf("norm.weight", value)], "mine")).length, 1);
 * assert.throws(() => withEdits(weights, [replaceLeaf("nrm.weight", value)], "mine"), RangeError);
 * ```
 */
export function withEdits(weights: Branch, edits: readonly Edit[], method: string): Branch {
  return edits.reduce((tree, edit) => {
    const path = branchOf(tree, edit, `Cannot graft ${method}`);
    return updateBranch(tree, path, (branch) => ({ ...branch, [EDITS]: [...branch[EDITS] ?? [], edit] }));
  }, weights);
}
