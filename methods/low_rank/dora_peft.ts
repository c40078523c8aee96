/** DoRA in PEFT folders: LoRA's, with `use_dora` and the row norms `lora_magnitude_vector` [out] (no ".weight"). */
import { type MatrixPlace, sizesOf, type Spec } from "../../core/mod.ts";
import { dora, type DoraOptions } from "./dora.ts";
import type { LoraOptions } from "./lora.ts";
import { loraPeft } from "./lora_peft.ts";
import { loraPart } from "./lora_config_peft.ts";
import type { PeftCodec, PeftTensor } from "../peft/codec.ts";
import { typeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "LORA" with `use_dora`.
 *
 * @example
 * ```ts
 * import { doraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = doraPeft.read({ ...doraPeft.fields, use_dora: true, r: 16 });
 * assert.equal(doraPeft.method(options).name, "dora");
 * assert.equal(doraPeft.write(options)["use_dora"], true);
 * ```
 */
export const doraPeft: PeftCodec<LoraOptions> = {
  ...loraPeft,
  refused: Object.fromEntries(Object.entries(loraPeft.refused).filter(([name]) => name !== "use_dora")),
  accepts: (fields) => fields["use_dora"] === true,
  part: (config, model) => loraPart(doraPeft, config, model),
  write: (options) => {
    if ((options as DoraOptions).decomposition === "adapterHub") {
      throw typeError(
        "CANNOT_SAVE",
        'Cannot save DoRA with decomposition "adapterHub" for PEFT: there a bias is not scaled and the norm has the factor in it',
      );
    }
    return { ...loraPeft.write(options), use_dora: true };
  },
  method: dora,
  tensors: (places, options, spec: Spec) => [
    ...loraPeft.tensors(places, options, spec),
    ...places.map(magnitude),
  ],
};

function magnitude(place: MatrixPlace): PeftTensor {
  const { path } = place;
  return {
    path: `${path}.magnitude`,
    key: `${path}.lora_magnitude_vector`,
    shape: [sizesOf(place).outFeatures],
  };
}
