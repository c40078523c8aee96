/**
 * rsLoRA. Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", arXiv 2312.03732.
 *
 *   y = W x + (α / √r) · B A dropout(x)
 *
 * LoRA except for the factor, which keeps the size of the update stable as the rank grows.
 */
import type { DefinedMethod } from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { defineComposition } from "../shared/define_composition.ts";
import { LORA, lora, type LoraOptions, LOW_RANK } from "./lora.ts";

/**
 * Rank-stabilised LoRA as a method: `lora` with the scaling α/√r. Options and errors as for `lora`.
 *
 * @example
 * ```ts
 * import { rslora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(rslora({ rank: 64 }).config["scaling"], "rankStabilized");
 * ```
 */
export const rslora: DefinedMethod<LoraOptions> = defineComposition<LoraOptions>({
  name: "rslora",
  summary: "LoRA with a scale that stays stable at high ranks.",
  facts: { parameters: "r (in + out)", merges: "yes" },
  title: "rsLoRA",
  options: {
    ...LORA,
    scaling: option(oneOf("standard", "rankStabilized"), "the scale: α/r, or α/√r", "rankStabilized"),
  },
  create: lora,
  cli: { ...LOW_RANK },
  published: { setting: "r 8 on q and v" },
});
