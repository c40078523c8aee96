/**
 * LoRA+. Hayou, Ghosh and Yu 2024, "LoRA+: Efficient Low Rank Adaptation of Large Models", arXiv 2402.12354.
 *
 *   learning rate of A: η     of B and of vectors: λ η      of LoRA on an embedding: 10⁻⁶ for any η
 *
 * The model is LoRA's; only training differs. Groups as in the authors' `lora_plus.py`, where vectors (biases, and the
 * magnitudes of DoRA) go with B.
 */
import { type DefinedMethod, defineMethod, lookup, type Method, type Tensor } from "../../core/mod.ts";
import { option, positive } from "../../core/options/mod.ts";
import { LORA, lora, type LoraOptions, LOW_RANK } from "./lora.ts";

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
 * assert.equal(loraPlus({ ratio: 4 }).name, "lora-plus");
 * ```
 */
export const loraPlus: DefinedMethod<LoraPlusOptions> = defineMethod<LoraPlusOptions>({
  name: "lora-plus",
  summary: "LoRA with a higher learning rate for the second factor.",
  facts: { parameters: "r (in + out)", merges: "yes" },
  title: "LoRA+",
  options: {
    ...LORA,
    ratio: option(positive, "λ, how many times A's learning rate is B's", 16),
    embeddingRate: option(positive, "the learning rate of factors on an embedding", 1e-6),
  },
  create: ({ ratio, embeddingRate, ...options }) => ({
    ...bodyOf(lora(options)),
    rates: ({ params, spec, learningRate }) => {
      const embeddings = spec.embeddings.map((place) => `${place.path}.`);
      return (path) =>
        embeddings.some((start) => path.startsWith(start))
          ? embeddingRate / learningRate
          : path.endsWith(".b") || (lookup(params, path) as Tensor).shape.length === 1
          ? ratio
          : 1;
    },
  }),
  cli: { ...LOW_RANK, rate: 1e-4 },
  published: { setting: "r 8 on q and v" },
});

const bodyOf = ({ init, edits }: Method): Pick<Method, "init" | "edits"> => ({ init, edits });
