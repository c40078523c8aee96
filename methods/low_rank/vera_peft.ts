/**
 * VeRA in PEFT folders: `vera_lambda_b` [out] and `vera_lambda_d` [r] below the layer's path, and with `save_projection` the
 * shared `vera_A` and `vera_B` once, outside the model's own modules.
 */
import type { Filled } from "../../core/options/mod.ts";
import type { MatrixPlace } from "../../core/mod.ts";
import { flagField, numberField, type PeftCodec, type PeftTensor } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { vera, type VeraOptions, veraScale, veraShapes } from "./vera.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;

/**
 * Codec of `peft_type` "VERA".
 *
 * @example
 * ```ts
 * import { veraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = veraPeft.read({ ...veraPeft.fields, projection_prng_key: 7 });
 * assert.equal(options.projectionSeed, 7);
 * ```
 */
export const veraPeft: PeftCodec<VeraOptions> = {
  type: "VERA",
  fields: {
    ...layerFields,
    r: 256,
    projection_prng_key: 0,
    save_projection: true,
    vera_dropout: 0,
    d_initial: 0.1,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
  },
  biases: "vera_only",
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    projectionSeed: numberField(fields, "projection_prng_key"),
    projections: flagField(fields, "save_projection") ? "stored" : "regenerated",
    dropout: numberField(fields, "vera_dropout"),
    initialD: numberField(fields, "d_initial"),
  }),
  write: (given) => {
    const options = withDefaults(vera, given);
    return {
      r: options.rank,
      projection_prng_key: options.projectionSeed,
      save_projection: options.projections === "stored",
      vera_dropout: options.dropout,
      d_initial: options.initialD,
    };
  },
  method: vera,
  tensors: (places, given) => {
    const options = withDefaults(vera, given);
    return [
      ...places.flatMap((place) => vectors(place, options)),
      ...options.projections === "stored" ? projections(places, options) : [],
    ];
  },
};

function vectors(place: MatrixPlace, options: Filled<VeraOptions>): readonly PeftTensor[] {
  const { path, outFeatures } = peftLayer("VeRA", place, "with Conv1D");
  const s = veraScale(options); // PEFT has no α
  return [
    {
      path: `${path}.lambdaB`,
      key: `${path}.vera_lambda_b`,
      shape: [outFeatures],
      ...s !== 1 && { factor: s },
    },
    { path: `${path}.lambdaD`, key: `${path}.vera_lambda_d`, shape: [options.rank] },
  ];
}

function projections(places: readonly MatrixPlace[], options: Filled<VeraOptions>): readonly PeftTensor[] {
  const { a, b } = veraShapes(places, options);
  return [
    { path: "frozen.a", key: "base_model.vera_A", shape: a },
    { path: "frozen.b", key: "base_model.vera_B", shape: b },
  ];
}
