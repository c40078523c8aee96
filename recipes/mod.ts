/**
 * Training loops of the methods that train in stages, and preparations of others. The pure steps are in
 * `methods`. Imports `train` and `methods`.
 *
 * @example
 * ```ts
 * import { fishBudget } from "@graft/peft/recipes";
 * import { freshModel, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const config = { model_type: "gpt2", vocab_size: 8, n_embd: 4, n_head: 1, n_layer: 1, n_positions: 4 };
 * const model = freshModel(config, { backend: reference(), key: 0 });
 * assert.equal(fishBudget(model, { ratio: 0.5 }).whole, 0);
 * ```
 *
 * @module
 */
export * from "../methods/selective/fisher_mask.ts";
export * from "../methods/adapters/adamix_loss.ts";
export * from "./diff_pruning.ts";
export * from "./far.ts";
export * from "./intrinsic_dimension.ts";
export * from "./lt_sft.ts";
export * from "./soft_prompts.ts";
export * from "./stage.ts";
export * from "./supervised.ts";
