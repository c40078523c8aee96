/**
 * GraLoRA in PEFT folders: `gralora_A` [k, in/k, r] and `gralora_B` [k, r, out/k] below the layer's path; hybrid,
 * `gralora_A_general.weight` [h, in] and `gralora_B_general.weight` [out, h].
 */
import { gralora, type GraloraOptions } from "./gralora.ts";
import { numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;
const KEYS: Readonly<Record<string, string>> = {
  a: "gralora_A",
  b: "gralora_B",
  generalA: "gralora_A_general.weight",
  generalB: "gralora_B_general.weight",
};

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
  write: (options) => {
    const { rank, blocks, hybridRank, alpha, dropout, initialization } = withDefaults(gralora, options);
    return {
      r: rank,
      gralora_k: blocks,
      hybrid_r: hybridRank,
      alpha: alpha ?? 2 * rank,
      gralora_dropout: dropout,
      init_weights: initialization !== "none",
    };
  },
  method: gralora,
  tensors: layerTensors(gralora, (leaf) => KEYS[leaf]!, "with Conv1D"),
};
