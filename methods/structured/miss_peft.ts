/** MiSS in PEFT folders: `miss_block` below the layer's path; its form is given by `init_weights`. */
import type { Json } from "../../core/mod.ts";
import { miss, type MissOptions, missShape } from "./miss.ts";
import { numberField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer } from "../peft/layers.ts";

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
  write: (options) => ({
    r: options.rank ?? 64,
    miss_dropout: options.form === "bat" ? 0 : options.dropout ?? 0,
    mini_r: options.form === "mini" ? options.miniRank : 1,
    init_weights: options.form === "bat" || options.form === "mini" ? options.form : true,
  }),
  method: miss,
  tensors: (places, options) =>
    places.map((place) => {
      const { path } = peftLayer("MiSS", place, "without Conv1D");
      return { path: `${path}.block`, key: `${path}.miss_block`, shape: missShape(place, options) };
    }),
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
