/** BEFT in PEFT folders: `beft_bias` [1, out] below the layer's path, [out] in our params. */
import { beft, type BeftOptions } from "./beft.ts";
import { flagField, type PeftCodec } from "../peft/codec.ts";
import { peftLayer } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "BEFT".
 *
 * @example
 * ```ts
 * import { beftPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.deepEqual(beftPeft.read(beftPeft.fields), {});
 * assert.throws(() => beftPeft.read({ ...beftPeft.fields, init_weights: "yes" }), TypeError);
 * ```
 */
export const beftPeft: PeftCodec<BeftOptions> = {
  type: "BEFT",
  fields: { modules_to_save: null, init_weights: true },
  refused: {},
  read: (fields) => {
    flagField(fields, "init_weights"); // describes the initialization, which no longer matters
    return {};
  },
  write: () => ({ init_weights: true }),
  method: beft,
  standard: () => ({ targets: (place) => place.kind === "linear" && place.role === "value" }),
  tensors: (places) =>
    places.map((place) => {
      const { path, outFeatures } = peftLayer("BEFT", place, "without Conv1D");
      return {
        path: `${path}.shift`,
        key: `${path}.beft_bias`,
        shape: [outFeatures],
        stored: [1, outFeatures],
      };
    }),
};
