/** Layer-norm tuning in PEFT folders: `ln_tuning_layers.weight` [d], and `.bias` [d] where the norm has one, below its path. */
import type { Spec } from "../../core/mod.ts";
import { chosenNorms, type LayerNormTuneOptions } from "./layer_norm_tune.ts";
import type { PeftFields, PeftTensor } from "../peft/codec.ts";

/** Fields of `peft_type` "LN_TUNING", with PEFT's defaults. */
export const LAYER_NORM_FIELDS: PeftFields = { exclude_modules: null, modules_to_save: null };

/**
 * The tensors of a folder.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { layerNormTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [tensor] = layerNormTensors(spec, { norms: ["model.norm"] });
 * assert.equal(tensor!.key, "model.norm.ln_tuning_layers.weight");
 * ```
 */
export function layerNormTensors(spec: Spec, options: LayerNormTuneOptions): readonly PeftTensor[] {
  return chosenNorms(spec, options).flatMap(({ path, width, bias }) =>
    (bias ? ["weight", "bias"] : ["weight"]).map((name) => ({
      path: `${path}.${name}`,
      key: `${path}.ln_tuning_layers.${name}`,
      shape: [width],
    }))
  );
}

/**
 * The norms that a null `target_modules` means.
 *
 * @throws {RangeError} when we know of no such list in PEFT.
 * @example
 * ```ts
 * import { layerNormDefaults } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.deepEqual(layerNormDefaults("gpt2"), ["ln_1", "ln_2", "ln_f"]);
 * ```
 */
export function layerNormDefaults(modelType: string): readonly string[] {
  switch (modelType) {
    case "llama":
    case "mistral":
    case "gemma":
      return ["input_layernorm", "post_attention_layernorm", "norm"];
    case "qwen2":
    case "qwen3":
      return ["post_attention_layernorm"];
    case "gemma3_text":
      return [
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
        "norm",
      ];
    case "gpt2":
      return ["ln_1", "ln_2", "ln_f"];
    case "t5":
    case "mt5":
      return ["layer_norm", "final_layer_norm"];
    default:
      throw new RangeError(
        `Cannot tell which norms the LN_TUNING config adapts: target_modules is null and PEFT's default for "${modelType}" ` +
          "is not known",
      );
  }
}
