/**
 * VB-LoRA in PEFT folders: `vblora_logits_A` [r, in / c, h] and `vblora_logits_B` [out / c, r, h] below the layer's path, and
 * `vblora_vector_bank` [h, c] once, outside the model's own modules.
 */
import { numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { vbLora, type VbLoraOptions, vbLoraShapes } from "./vb_lora.ts";

/**
 * Codec of `peft_type` "VBLORA".
 *
 * @example
 * ```ts
 * import { vbLoraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(vbLoraPeft.read({ ...vbLoraPeft.fields, num_vectors: 90 }).vectors, 90);
 * ```
 */
export const vbLoraPeft: PeftCodec<VbLoraOptions> = {
  type: "VBLORA",
  fields: {
    ...LAYER_FIELDS,
    r: 4,
    num_vectors: 256,
    vector_length: 256,
    topk: 2,
    save_only_topk_weights: false,
    vblora_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    init_vector_bank_bound: 0.02,
    init_logits_std: 0.1,
  },
  biases: "vblora_only",
  refused: { save_only_topk_weights: "shares in place of the logits, which cannot be trained on" },
  read: (fields) => ({
    rank: numberField(fields, "r"),
    vectors: numberField(fields, "num_vectors"),
    length: numberField(fields, "vector_length"),
    topK: numberField(fields, "topk"),
    bankBound: numberField(fields, "init_vector_bank_bound"),
    deviation: numberField(fields, "init_logits_std"),
    dropout: numberField(fields, "vblora_dropout"),
  }),
  write: (given) => {
    const options = withDefaults(vbLora, given);
    return {
      r: options.rank,
      num_vectors: options.vectors,
      vector_length: options.length,
      topk: options.topK,
      init_vector_bank_bound: options.bankBound,
      init_logits_std: options.deviation,
      vblora_dropout: options.dropout,
    };
  },
  method: vbLora,
  standard: ({ config }) =>
    ["t5", "mt5"].includes(String(config.model_type)) ? { targets: "all-linear" } : {},
  tensors: (places, given) => {
    const options = withDefaults(vbLora, given);
    return [
      ...places.flatMap((place) => {
        const { path } = peftLayer("VB-LoRA", place, "with Conv1D");
        const { a, b } = vbLoraShapes(place, options);
        return [
          { path: `${path}.logitsA`, key: `${path}.vblora_logits_A`, shape: a },
          { path: `${path}.logitsB`, key: `${path}.vblora_logits_B`, shape: b },
        ];
      }),
      {
        path: "bank",
        key: "base_model.vblora_vector_bank",
        shape: [options.vectors, options.length],
      },
    ];
  },
};
