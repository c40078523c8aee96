/**
 * LoRA+. Hayou, Ghosh and Yu 2024, "LoRA+: Efficient Low Rank Adaptation of Large Models", arXiv 2402.12354.
 *
 *   learning rate of A: η     of B and of vectors: λ η      of LoRA on an embedding: 10⁻⁶ for any η
 *
 * The model is LoRA's; only training differs. Groups as in the authors' `lora_plus.py`, where vectors (biases, and the
 * magnitudes of DoRA) go with B.
 */
import { lookup, type Method, type Tensor } from "../../core/mod.ts";
import { lora, type LoraOptions } from "./lora.ts";

/** Options of LoRA+. */
export interface LoraPlusOptions extends LoraOptions {
  /** λ, default 16. */
  readonly ratio?: number;
  /** Learning rate of factors on an embedding before the schedule, default 1e-6. */
  readonly embeddingRate?: number;
}

/**
 * LoRA+ as a method. Options as for LoRA, and the rates.
 *
 * @throws {RangeError} as `lora`, and when a rate is not positive.
 * @example
 * ```ts
 * import { loraPlus } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(loraPlus({ ratio: 4 }).name, "loraPlus");
 * ```
 */
export function loraPlus(options: LoraPlusOptions = {}): Method {
  const { ratio = 16, embeddingRate = 1e-6, ...rest } = options;
  for (const [name, rate] of Object.entries({ ratio, embeddingRate })) {
    if (!(rate > 0)) throw new RangeError(`Expected ${name} to be over 0 but found ${rate}`);
  }
  const inner = lora(rest);
  return {
    ...inner,
    name: "loraPlus",
    config: { ...inner.config, ratio, embeddingRate },
    rates: ({ params, spec, learningRate }) => {
      const embeddings = spec.embeddings.map((place) => `${place.path}.`);
      return (path) =>
        embeddings.some((start) => path.startsWith(start))
          ? embeddingRate / learningRate
          : path.endsWith(".b") || (lookup(params, path) as Tensor).shape.length === 1
          ? ratio
          : 1;
    },
  };
}
