/**
 * The meaning of a null `target_modules` for (IA)³: PEFT's table by model type, which differs from the paper
 * for some.
 */
import { rangeError } from "../errors/error.ts";

/** Names of scaled modules, and those of them that are scaled at their input. */
export interface Ia3Defaults {
  /** Layers that PEFT adapts when none are named. */
  readonly targets: readonly string[];
  /** Those that are scaled at their input. */
  readonly feedForward: readonly string[];
}

/**
 * The defaults of a model type.
 *
 * @throws {RangeError} when we know of none in PEFT.
 * @example
 * ```ts
 * import { ia3Defaults } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.deepEqual(ia3Defaults("llama").targets, ["k_proj", "v_proj", "down_proj"]);
 * ```
 */
export function ia3Defaults(modelType: string): Ia3Defaults {
  switch (modelType) {
    case "llama":
    case "mistral":
      return { targets: ["k_proj", "v_proj", "down_proj"], feedForward: ["down_proj"] };
    case "qwen2":
    case "qwen3":
    case "gemma":
    case "gemma3_text":
      return { targets: ["q_proj", "v_proj", "down_proj"], feedForward: ["down_proj"] };
    case "gpt2":
      return { targets: ["c_attn", "mlp.c_proj"], feedForward: ["mlp.c_proj"] };
    case "bert":
    case "roberta":
      return { targets: ["key", "value", "output.dense"], feedForward: ["output.dense"] };
    case "t5":
      return { targets: ["k", "v", "wo"], feedForward: ["wo"] };
    default:
      throw rangeError(
        "ADAPTER_UNSUPPORTED",
        `Cannot tell what the IA3 config adapts: target_modules is null and PEFT's default for "${modelType}" is not known`,
      );
  }
}
