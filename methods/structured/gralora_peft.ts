/**
 * GraLoRA in PEFT folders: `gralora_A` [k, in/k, r] and `gralora_B` [k, r, out/k] below the layer's path; hybrid,
 * `gralora_A_general.weight` [h, in] and `gralora_B_general.weight` [out, h].
 */
import { gralora, type GraloraOptions, graloraShapes } from "./gralora.ts";
import { numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer } from "../peft/layers.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;
const KEYS = {
  a: "gralora_A",
  b: "gralora_B",
  generalA: "gralora_A_general.weight",
  generalB: "gralora_B_general.weight",
} as const;

/**
 * Codec of `peft_type` "GRALORA".
 *
 * @example
 * ```ts
 * import { graloraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = graloraPeft.read({ ...graloraPeft.fields, gralora_k: 4, r: 64 });
 * assert.deepEqual([options.blocks, options.alpha], [4, 64]);
 * ```
 */
export const graloraPeft: PeftCodec<GraloraOptions> = {
  type: "GRALORA",
  fields: {
    ...layerFields,
    r: 32,
    hybrid_r: 0,
    alpha: 64,
    gralora_k: 2,
    gralora_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
  },
  biases: "gralora_only",
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    blocks: numberField(fields, "gralora_k"),
    hybridRank: numberField(fields, "hybrid_r"),
    alpha: numberField(fields, "alpha"),
    dropout: numberField(fields, "gralora_dropout"),
    initialization: fields["init_weights"] === false ? "none" : "default",
  }),
  write: (options) => ({
    r: options.rank ?? 32,
    gralora_k: options.blocks ?? 2,
    hybrid_r: options.hybridRank ?? 0,
    alpha: options.alpha ?? 2 * (options.rank ?? 32),
    gralora_dropout: options.dropout ?? 0,
    init_weights: options.initialization !== "none",
  }),
  method: gralora,
  tensors: (places, options) =>
    places.flatMap((place) => {
      const { path } = peftLayer("GraLoRA", place, "with Conv1D");
      return Object.entries(graloraShapes(place, options)).map(([name, shape]) => ({
        path: `${path}.${name}`,
        key: `${path}.${KEYS[name as keyof typeof KEYS]}`,
        shape,
      }));
    }),
};
