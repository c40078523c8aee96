/** HRA in PEFT folders: `hra_u` [in, r] below the layer's path. */
import { hra, type HraOptions } from "./hra.ts";
import { flagField, numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer } from "../peft/layers.ts";

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
  write: (options) => ({
    r: options.rank ?? 8,
    apply_GS: options.orthogonality === "exact",
    init_weights: options.initialization !== "none",
  }),
  method: hra,
  tensors: (places, options) =>
    places.map((place) => {
      const { path, inFeatures } = peftLayer("HRA", place, "without Conv1D");
      return { path: `${path}.u`, key: `${path}.hra_u`, shape: [inFeatures, options.rank ?? 8] };
    }),
};
