/** WaveFT in PEFT folders: `waveft_spectrum` [n] below the layer's path; the positions follow from the seed. */
import type { Json } from "../../core/mod.ts";
import { flagField, numberField, patternField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { waveft, waveftCounts, type WaveFtOptions } from "./waveft.ts";

/**
 * Codec of `peft_type` "WAVEFT". Wavelets other than db1, db2, db3 and coif1 are refused.
 *
 * @example
 * ```ts
 * import { waveftPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(waveftPeft.read({ ...waveftPeft.fields, n_frequency: 64 }).wavelet, "db1");
 * assert.throws(() => waveftPeft.read({ ...waveftPeft.fields, wavelet_family: "sym8" }), /sym8/);
 * ```
 */
export const waveftPeft: PeftCodec<WaveFtOptions> = {
  type: "WAVEFT",
  fields: {
    ...LAYER_FIELDS,
    n_frequency: 2592,
    n_frequency_pattern: {},
    proportional_parameters: false,
    scaling: 25,
    wavelet_family: "db1",
    use_idwt: true,
    random_loc_seed: 777,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
  },
  biases: "waveft_only",
  refused: {},
  read: (fields) => {
    const proportional = flagField(fields, "proportional_parameters");
    const frequencyPattern = proportional ? undefined : patternField(fields, "n_frequency_pattern");
    return {
      frequencies: numberField(fields, "n_frequency"),
      ...frequencyPattern && { frequencyPattern },
      allocation: proportional ? "proportional" : "equal",
      scale: numberField(fields, "scaling"),
      wavelet: flagField(fields, "use_idwt") ? waveletOf(fields["wavelet_family"]) : "none",
      positionSeed: numberField(fields, "random_loc_seed"),
      initialization: flagField(fields, "init_weights") ? "zeros" : "normal",
    };
  },
  write: (options) => {
    const { wavelet, ...own } = withDefaults(waveft, options);
    return {
      n_frequency: own.frequencies,
      n_frequency_pattern: own.frequencyPattern ?? {},
      proportional_parameters: own.allocation === "proportional",
      scaling: own.scale,
      wavelet_family: wavelet === "none" ? "db1" : wavelet,
      use_idwt: wavelet !== "none",
      random_loc_seed: own.positionSeed,
      init_weights: own.initialization !== "normal",
    };
  },
  method: waveft,
  standard: ({ config }) => config.model_type === "gpt2" ? { targets: ["mlp.c_proj"] } : {},
  tensors: (places, options) =>
    waveftCounts(places, withDefaults(waveft, options)).map(([place, n]) => {
      const { path } = peftLayer("WaveFT", place, "with Conv1D");
      return { path: `${path}.spectrum`, key: `${path}.waveft_spectrum`, shape: [n] };
    }),
};

function waveletOf(value: Json | undefined): NonNullable<WaveFtOptions["wavelet"]> {
  switch (value) {
    case "db1":
    case "db2":
    case "db3":
    case "coif1":
      return value;
    default:
      return wrong("wavelet_family", '"db1", "db2", "db3" or "coif1"', value);
  }
}
