/** MiSS in PEFT folders: `miss_block` below the layer's path; its form is given by `init_weights`. */
import type { Json } from "../../core/mod.ts";
import { miss, type MissOptions } from "./miss.ts";
import { numberField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "MISS". PEFT applies no dropout in the form "bat", whatever `miss_dropout` says.
 *
 * @example
 * ```ts
 * import { missPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = missPeft.read({ ...missPeft.fields, r: 8, init_weights: "bat" });
 * assert.deepEqual([options.rank, options.form], [8, "bat"]);
 * ```
 */
export const missPeft: PeftCodec<MissOptions> = {
  type: "MISS",
  fields: { ...LAYER_FIELDS, r: 64, miss_dropout: 0, mini_r: 1, init_weights: true, bias: "none" },
  biases: "miss_only",
  refused: {},
  read: (fields) => {
    const rank = numberField(fields, "r");
    const dropout = numberField(fields, "miss_dropout");
    const form = formOf(fields["init_weights"]);
    switch (form) {
      case "bat":
        return { rank, form };
      case "mini":
        return { rank, form, miniRank: numberField(fields, "mini_r"), dropout };
      case "standard":
        return { rank, form, dropout };
    }
  },
  write: (options) => {
    const own = withDefaults(miss, options);
    return {
      r: own.rank,
      miss_dropout: own.form === "bat" ? 0 : own.dropout,
      mini_r: own.form === "mini" ? own.miniRank : 1,
      init_weights: own.form === "standard" ? true : own.form,
    };
  },
  method: miss,
  tensors: layerTensors(miss, (leaf) => `miss_${leaf}`, "without Conv1D"),
};

/** `false` is a random block of the standard form. */
function formOf(value: Json | undefined): NonNullable<MissOptions["form"]> {
  switch (value) {
    case true:
    case false:
      return "standard";
    case "bat":
    case "mini":
      return value;
    default:
      return wrong("init_weights", 'true, false, "bat" or "mini"', value);
  }
}
