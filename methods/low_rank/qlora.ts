/**
 * QLoRA. Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv 2305.14314, section 3.
 *
 *   y = dequantize(W_nf4) x + s · B A dropout(x)      on every linear layer but the head
 *
 * The base's storage belongs to the model: `quantize(model, { dtype: "nf4_double" })` gives the paper's. The
 * method itself is LoRA with the paper's targets, rank and scaling.
 */
import type { Method } from "../../core/mod.ts";
import { lora, type LoraOptions } from "./lora.ts";

/**
 * QLoRA's adapters as a method: `lora` with targets "all-linear", rank 64 and α 16 unless options say otherwise.
 *
 * @example
 * ```ts
 * import { qlora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * // const small = quantize(model, { dtype: "nf4_double" });
 * // const adapter = adapt(small, qlora());
 * assert.equal(qlora().config["alpha"], 16);
 * ```
 */
export function qlora(options: LoraOptions = {}): Method {
  return lora({ targets: "all-linear", rank: 64, alpha: 16, ...options });
}
