/** Vocabulary scores from states, for models whose head may be tied to the token table. */
import {
  type ForwardOptions,
  head,
  type Model,
  optionalWeight,
  rootOf,
  type Tensor,
  weight,
  weightPass,
} from "../core/mod.ts";
import { barePass } from "./bare_pass.ts";
import { childSite } from "./site.ts";

/** The paths of the matrices. */
export interface VocabularyHead {
  /** Path of the head. */
  readonly head: string;
  /** Path of the token table, which is used where the head has no matrix of its own. */
  readonly table: string;
}

/**
 * x Wᵀ + b with edits of the head: [b, t, d] → [b, t, v]. W is the head's matrix, or the table; b is added if
 * there is one.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { ones } from "@graft/peft/ops";
 * import { vocabularyLogits } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 }); // head and table are one
 * const states = ones([1, 3, 16], model.backend);
 * const places = { head: "lm_head", table: "model.embed_tokens" };
 * assert.deepEqual(vocabularyLogits(model, states, {}, places).shape, [1, 3, 32]);
 * ```
 */
export function vocabularyLogits(
  model: Model,
  states: Tensor,
  options: ForwardOptions,
  places: VocabularyHead,
): Tensor {
  const root = rootOf(model.weights, weightPass(options));
  const site = childSite(root, places.head);
  const matrix = optionalWeight(site, "weight") ?? weight(childSite(root, places.table), "weight");
  return head(barePass(model, options), site, matrix, optionalWeight(site, "bias"), states);
}
