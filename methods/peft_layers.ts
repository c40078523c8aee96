/** What the codecs of matrix methods share: the fields that choose layers, and which kinds of layer PEFT adapts. */
import type { HeadPlace, LinearPlace, MatrixPlace } from "../core/mod.ts";
import type { PeftFields } from "./peft_codec.ts";

/** Fields that narrow the targets, with PEFT's defaults. */
export const LAYER_FIELDS: PeftFields = {
  exclude_modules: null,
  modules_to_save: null,
  layers_to_transform: null,
  layers_pattern: null,
};

/** What `bias` other than "none" asks for. */
export const TRAINED_BIASES = "the base's biases to be trained as well";

/**
 * The layer, if PEFT has the method on its kind.
 *
 * @param conv1d Whether PEFT has it on GPT-2's transposed layers.
 * @throws {RangeError} when it has not.
 */
export function peftLayer(
  method: string,
  place: MatrixPlace,
  conv1d: "with Conv1D" | "without Conv1D",
): LinearPlace | HeadPlace {
  if (place.kind === "embedding") {
    throw new RangeError(
      `PEFT has no ${method} on the embedding "${place.path}": leave it out of the targets`,
    );
  }
  if (conv1d === "without Conv1D" && place.kind === "linear" && place.transposed) {
    throw new RangeError(`PEFT has no ${method} on "${place.path}", a Conv1D: leave it out of the targets`);
  }
  return place;
}
