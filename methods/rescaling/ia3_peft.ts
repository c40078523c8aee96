/**
 * (IA)³ in PEFT folders: `ia3_l` below the layer's path, [out, 1] where it scales the output and [1, in] where it scales
 * the input; [out] and [in] in our params.
 */
import { type MatrixPlace, sizesOf } from "../../core/mod.ts";
import { ia3, type Ia3Options, scalesInput } from "./ia3.ts";
import { flagField, type PeftCodec, type PeftTensor } from "../peft/codec.ts";

/**
 * Codec of `peft_type` "IA3". `feedforward_modules` is handled along with the targets.
 *
 * @example
 * ```ts
 * import { ia3Peft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(ia3Peft.type, "IA3");
 * assert.throws(() => ia3Peft.read({ ...ia3Peft.fields, init_ia3_weights: "yes" }), TypeError);
 * ```
 */
export const ia3Peft: PeftCodec<Ia3Options> = {
  type: "IA3",
  fields: {
    exclude_modules: null,
    modules_to_save: null,
    fan_in_fan_out: false,
    feedforward_modules: null,
    init_ia3_weights: true,
  },
  refused: {},
  read: (fields) => {
    flagField(fields, "init_ia3_weights"); // describes the initialization, which no longer matters
    return {};
  },
  write: () => ({ init_ia3_weights: true }),
  method: ia3,
  tensors: (places, options) => places.map((place) => vector(place, options)),
};

function vector(place: MatrixPlace, options: Ia3Options): PeftTensor {
  const { path } = place;
  if (place.kind === "embedding") throw new RangeError(`PEFT has no (IA)³ on the embedding "${path}"`);
  const { inFeatures, outFeatures } = sizesOf(place);
  const [shape, stored] = scalesInput(place, options)
    ? [[inFeatures], [1, inFeatures]]
    : [[outFeatures], [outFeatures, 1]];
  return { path: `${path}.l`, key: `${path}.ia3_l`, shape, stored };
}
