/**
 * QLoRA. Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv 2305.14314, section 3.
 *
 *   y = dequantize(W_nf4) x + s · B A dropout(x)      on every linear layer but the head
 *
 * The base's storage belongs to the model: `quantize(model, { dtype: "nf4_double" })` gives the paper's. The
 * method itself is LoRA with the paper's targets, rank and scaling.
 */
import type { DefinedMethod } from "../../core/mod.ts";
import { number, option } from "../../core/options/mod.ts";
import { defineComposition } from "../shared/define_composition.ts";
import { rankSchema } from "../shared/target_options.ts";
import { LORA, lora, type LoraOptions, LOW_RANK } from "./lora.ts";

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
export const qlora: DefinedMethod<LoraOptions> = defineComposition<LoraOptions>({
  name: "qlora",
  summary: "LoRA on a base quantized to four bits.",
  facts: { parameters: "r (in + out)", merges: "into the decoded base; requantizing loses" },
  title: "QLoRA",
  options: {
    ...LORA,
    targets: { ...LORA.targets, default: "all-linear" },
    rank: option(rankSchema, "r, the rank of the update", 64),
    alpha: option(number, "α of the scale α/r", 16),
  },
  create: lora,
  cli: {
    ...LOW_RANK,
    shortRate: 1.2e-2,
    compared: 3,
    optimizer: "paged",
    quantize: { dtype: "nf4_double" },
  },
  published: { setting: "r 64, every layer; base apart" },
});
