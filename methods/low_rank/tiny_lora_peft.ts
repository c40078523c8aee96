/**
 * TinyLoRA in PEFT folders: the shared `tinylora_v.0`, … [u], outside the model's own modules; `tinylora_A` [r, in] and
 * `tinylora_B` [out, r] below the layer's path, and `tinylora_P` [u, r, r] with `save_projection`.
 */
import { chooseTargets, type Json } from "../../core/mod.ts";
import { flagField, numberField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, placesIn, withDefaults } from "../peft/layers.ts";
import { tinyLora, type TinyLoraOptions, tinyLoraShapes } from "./tiny_lora.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;

/**
 * Codec of `peft_type` "TINYLORA".
 *
 * @example
 * ```ts
 * import { tinyLoraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(tinyLoraPeft.read({ ...tinyLoraPeft.fields, u: 13 }).dimension, 13);
 * ```
 */
export const tinyLoraPeft: PeftCodec<TinyLoraOptions> = {
  type: "TINYLORA",
  fields: {
    ...layerFields,
    r: 2,
    u: 64,
    weight_tying: 0,
    projection_seed: 42,
    save_projection: true,
    init_v_bound: 0.02,
    tinylora_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
  },
  biases: "tinylora_only",
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    dimension: numberField(fields, "u"),
    tying: numberField(fields, "weight_tying"),
    singularValues: "split",
    projectionSeed: numberField(fields, "projection_seed"),
    projections: flagField(fields, "save_projection") ? "stored" : "regenerated",
    initialization: startOf(fields["init_weights"]),
    dropout: numberField(fields, "tinylora_dropout"),
  }),
  write: (given) => {
    const options = withDefaults(tinyLora, given);
    return {
      r: options.rank,
      u: options.dimension,
      weight_tying: options.tying,
      projection_seed: options.projectionSeed,
      save_projection: options.projections === "stored",
      init_weights: options.initialization === "uniform" ? "uniform" : true,
      tinylora_dropout: options.dropout,
    };
  },
  method: tinyLora,
  // Gradients of shared vectors belong to no layer.
  adapted: (_, params, options, spec) => {
    const own = placesIn(params, spec);
    return own.length > 0 ? own : chooseTargets(spec, options);
  },
  tensors: (places, given) => {
    const options = withDefaults(tinyLora, given);
    const { vectors, layers } = tinyLoraShapes(places, options);
    const names = options.projections === "stored" ? ["a", "b", "p"] as const : ["a", "b"] as const;
    return [
      ...Object.entries(vectors).map(([group, shape]) => ({
        path: `v.${group}`,
        key: `base_model.tinylora_v.${group}`,
        shape,
      })),
      ...places.flatMap(({ path }, i) =>
        names.map((name) => ({
          path: `${path}.frozen.${name}`,
          key: `${path}.tinylora_${name.toUpperCase()}`,
          shape: layers[i]![name],
        }))
      ),
    ];
  },
};

/** `false` leaves v as uninitialized memory. */
function startOf(value: Json | undefined): NonNullable<TinyLoraOptions["initialization"]> {
  switch (value) {
    case true:
    case false:
      return "zeros";
    case "uniform":
      return value;
    default:
      return wrong("init_weights", 'true, false or "uniform"', value);
  }
}
