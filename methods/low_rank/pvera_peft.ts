/**
 * PVeRA in PEFT folders: `pvera_lambda_b` [out] and `pvera_lambda_d` [2r] below the layer's path, and with `save_projection` the
 * shared `pvera_A` and `pvera_B` once, outside the model's own modules.
 */
import type { Filled } from "../../core/options/mod.ts";
import type { MatrixPlace } from "../../core/mod.ts";
import { flagField, numberField, type PeftCodec, type PeftTensor } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { pvera, type PveraOptions, pveraShapes } from "./pvera.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;

/**
 * Codec of `peft_type` "PVERA". PEFT's seed for random draws in training is not kept: here the run's seed is
 * used.
 *
 * @example
 * ```ts
 * import { pveraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(pveraPeft.read({ ...pveraPeft.fields, projection_prng_key: 7 }).projectionSeed, 7);
 * ```
 */
export const pveraPeft: PeftCodec<PveraOptions> = {
  type: "PVERA",
  fields: {
    ...layerFields,
    r: 256,
    projection_prng_key: 0,
    save_projection: true,
    pvera_dropout: 0,
    d_initial: 0.1,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
    sample_at_inference: false,
    generator_seed: null,
  },
  biases: "pvera_only",
  refused: { sample_at_inference: "answers that are drawn anew at every use" },
  read: (fields) => ({
    rank: numberField(fields, "r"),
    projectionSeed: numberField(fields, "projection_prng_key"),
    projections: flagField(fields, "save_projection") ? "stored" : "regenerated",
    dropout: numberField(fields, "pvera_dropout"),
    initialD: numberField(fields, "d_initial"),
  }),
  write: (given) => {
    const options = withDefaults(pvera, given);
    return {
      r: options.rank,
      projection_prng_key: options.projectionSeed,
      save_projection: options.projections === "stored",
      pvera_dropout: options.dropout,
      d_initial: options.initialD,
    };
  },
  method: pvera,
  tensors: (places, given) => {
    const options = withDefaults(pvera, given);
    return [
      ...places.flatMap((place) => vectors(place, options)),
      ...options.projections === "stored" ? projections(places, options) : [],
    ];
  },
};

function vectors(place: MatrixPlace, options: Filled<PveraOptions>): readonly PeftTensor[] {
  const { path, outFeatures } = peftLayer("PVeRA", place, "with Conv1D");
  return [
    { path: `${path}.lambdaB`, key: `${path}.pvera_lambda_b`, shape: [outFeatures] },
    { path: `${path}.lambdaD`, key: `${path}.pvera_lambda_d`, shape: [2 * options.rank] },
  ];
}

function projections(places: readonly MatrixPlace[], options: Filled<PveraOptions>): readonly PeftTensor[] {
  const { a, b } = pveraShapes(places, options);
  return [
    { path: "frozen.a", key: "base_model.pvera_A", shape: a },
    { path: "frozen.b", key: "base_model.pvera_B", shape: b },
  ];
}
