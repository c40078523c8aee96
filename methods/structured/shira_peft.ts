/** SHiRA in PEFT folders: `shira_weight` [k] and `shira_indices` [2, k] below the layer's path. */
import { numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, layerShapes, peftLayer, withDefaults } from "../peft/layers.ts";
import { shira, type ShiraOptions } from "./shira.ts";

const { modules_to_save } = LAYER_FIELDS;

/**
 * Codec of `peft_type` "SHIRA". The positions are stored in the file, so masks other than the random one can
 * be read too; the mask's name is not kept. PEFT on Windows writes them as f32. Without `random_seed` PEFT
 * draws from a new generator, whose seed is always the same.
 *
 * @example
 * ```ts
 * import { shiraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(shiraPeft.read({ ...shiraPeft.fields, random_seed: 7 }).positionSeed, 7);
 * ```
 */
export const shiraPeft: PeftCodec<ShiraOptions> = {
  type: "SHIRA",
  fields: {
    modules_to_save: modules_to_save!,
    r: 32,
    mask_type: "random",
    random_seed: null,
    fan_in_fan_out: false,
    init_weights: true,
  },
  refused: {},
  read: (fields) => {
    const { random_seed, init_weights } = fields;
    return {
      rank: numberField(fields, "r"),
      ...random_seed !== null && { positionSeed: numberField(fields, "random_seed") },
      initialization: init_weights === false ? "normal" : "zeros",
    };
  },
  write: (options) => {
    const { rank, positionSeed, initialization } = withDefaults(shira, options);
    return { r: rank, random_seed: positionSeed ?? null, init_weights: initialization !== "normal" };
  },
  method: shira,
  tensors: (places, options) =>
    places.flatMap((place) => {
      const { path, inFeatures, outFeatures } = peftLayer("SHiRA", place, "without Conv1D");
      const { values, "frozen.positions": positions } = layerShapes(shira, place, options);
      return [
        { path: `${path}.values`, key: `${path}.shira_weight`, shape: values! },
        {
          path: `${path}.frozen.positions`,
          key: `${path}.shira_indices`,
          shape: positions!,
          below: [outFeatures, inFeatures],
        },
      ];
    }),
};
