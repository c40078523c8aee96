/**
 * rsLoRA. Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", arXiv 2312.03732.
 *
 *   y = W x + (α / √r) · B A dropout(x)
 *
 * LoRA except for the factor, which keeps the size of the update stable as the rank grows.
 */
import type { Method } from "../../core/mod.ts";
import { lora, type LoraOptions } from "./lora.ts";

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
export function rslora(options: Omit<LoraOptions, "scaling"> = {}): Method {
  return lora({ ...options, scaling: "rankStabilized" });
}
