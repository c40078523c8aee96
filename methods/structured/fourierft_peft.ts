/** FourierFT in PEFT folders: `fourierft_spectrum` [n] below the layer's path; the positions follow from the seed. */
import { fourierft, type FourierFtOptions, frequencyCount } from "./fourierft.ts";
import { flagField, numberField, patternField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer } from "../peft/layers.ts";

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
  write: (options) => ({
    n_frequency: options.frequencies ?? 1000,
    n_frequency_pattern: options.frequencyPattern ?? {},
    scaling: options.scale ?? 150,
    random_loc_seed: options.positionSeed ?? 777,
    init_weights: options.initialization === "zeros",
  }),
  method: fourierft,
  standard: ({ config }) => config.model_type === "gpt2" ? { targets: ["mlp.c_proj"] } : {},
  tensors: (places, options) =>
    places.map((place) => {
      const { path } = peftLayer("FourierFT", place, "with Conv1D");
      const shape = [frequencyCount(place, options)];
      return { path: `${path}.spectrum`, key: `${path}.fourierft_spectrum`, shape };
    }),
};
