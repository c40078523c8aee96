/** DEFT in PEFT folders: `deft_P` [out, r] and, except for PaRa, `deft_R` [r, in] below the layer's path. */
import { deft, type DeftOptions } from "./deft.ts";
import { flagField, numberField, type PeftCodec, type PeftFields, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "DEFT". `init_scale` is the scale of R's random initialization, which no longer
 * matters. An α of 0 means none, as in PEFT.
 *
 * @example
 * ```ts
 * import { deftPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = deftPeft.read({ ...deftPeft.fields, decomposition_method: "qr", alpha: 16 });
 * assert.deepEqual([options.projection, options.alpha], ["qr", 16]);
 * ```
 */
export const deftPeft: PeftCodec<DeftOptions> = {
  type: "DEFT",
  fields: {
    ...LAYER_FIELDS,
    r: 8,
    decomposition_method: "relu",
    init_scale: 1,
    alpha: null,
    para: false,
    fan_in_fan_out: false,
    deft_dropout: 0,
    init_weights: true,
    bias: "none",
  },
  biases: "deft_only",
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    projection: projectionOf(fields),
    form: flagField(fields, "para") ? "para" : "deft",
    dropout: numberField(fields, "deft_dropout"),
    initialization: flagField(fields, "init_weights") ? "identity" : "normal",
    ...(fields["alpha"] ?? 0) !== 0 && { alpha: numberField(fields, "alpha") },
  }),
  write: (options) => {
    const { rank, projection, alpha, form, dropout, initialization } = withDefaults(deft, options);
    return {
      r: rank,
      decomposition_method: projection,
      alpha: alpha ?? null,
      para: form === "para",
      deft_dropout: dropout,
      init_weights: initialization !== "normal",
    };
  },
  method: deft,
  tensors: layerTensors(deft, (leaf) => `deft_${leaf.toUpperCase()}`, "with Conv1D"),
};

function projectionOf(fields: PeftFields): "relu" | "qr" {
  const value = fields["decomposition_method"];
  return value === "relu" || value === "qr" ? value : wrong("decomposition_method", '"relu" or "qr"', value);
}
