/** FourierFT in PEFT folders: `fourierft_spectrum` [n] below the layer's path; the positions follow from the seed. */
import { fourierft, type FourierFtOptions } from "./fourierft.ts";
import { flagField, numberField, patternField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "FOURIERFT".
 *
 * @example
 * ```ts
 * import { fourierftPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(fourierftPeft.read({ ...fourierftPeft.fields, n_frequency: 64 }).frequencies, 64);
 * ```
 */
export const fourierftPeft: PeftCodec<FourierFtOptions> = {
  type: "FOURIERFT",
  fields: {
    ...LAYER_FIELDS,
    n_frequency: 1000,
    n_frequency_pattern: {},
    scaling: 150,
    random_loc_seed: 777,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: false,
  },
  biases: "fourier_only",
  refused: {},
  read: (fields) => {
    const frequencyPattern = patternField(fields, "n_frequency_pattern");
    return {
      frequencies: numberField(fields, "n_frequency"),
      ...frequencyPattern && { frequencyPattern },
      scale: numberField(fields, "scaling"),
      positionSeed: numberField(fields, "random_loc_seed"),
      initialization: flagField(fields, "init_weights") ? "zeros" : "normal",
    };
  },
  write: (options) => {
    const own = withDefaults(fourierft, options);
    return {
      n_frequency: own.frequencies,
      n_frequency_pattern: own.frequencyPattern ?? {},
      scaling: own.scale,
      random_loc_seed: own.positionSeed,
      init_weights: own.initialization === "zeros",
    };
  },
  method: fourierft,
  standard: ({ config }) => config.model_type === "gpt2" ? { targets: ["mlp.c_proj"] } : {},
  tensors: layerTensors(fourierft, (leaf) => `fourierft_${leaf}`, "with Conv1D"),
};
