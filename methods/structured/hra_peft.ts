/** HRA in PEFT folders: `hra_u` [in, r] below the layer's path. */
import { hra, type HraOptions } from "./hra.ts";
import { flagField, numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "HRA". PEFT has no penalty: its weight is not written.
 *
 * @example
 * ```ts
 * import { hraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(hraPeft.read({ ...hraPeft.fields, r: 4, apply_GS: true }).orthogonality, "exact");
 * ```
 */
export const hraPeft: PeftCodec<HraOptions> = {
  type: "HRA",
  fields: { ...LAYER_FIELDS, r: 8, apply_GS: false, init_weights: true, bias: "none" },
  biases: "hra_only",
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    orthogonality: flagField(fields, "apply_GS") ? "exact" : 0,
    initialization: flagField(fields, "init_weights") ? "pairs" : "none",
  }),
  write: (options) => {
    const { rank, orthogonality, initialization } = withDefaults(hra, options);
    return { r: rank, apply_GS: orthogonality === "exact", init_weights: initialization !== "none" };
  },
  method: hra,
  tensors: layerTensors(hra, (leaf) => `hra_${leaf}`, "without Conv1D"),
};
