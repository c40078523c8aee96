/** RoAd in PEFT folders: `road_theta` and `road_alpha` below the layer's path. */
import { numberField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";
import { road, type RoadOptions } from "./road.ts";

const { modules_to_save } = LAYER_FIELDS;
const VARIANTS = { road_1: 1, road_2: 2, road_4: 4 } as const;

/**
 * Codec of `peft_type` "ROAD".
 *
 * @example
 * ```ts
 * import { roadPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = roadPeft.read({ ...roadPeft.fields, variant: "road_4" });
 * assert.deepEqual([options.variant, options.group], [4, 64]);
 * ```
 */
export const roadPeft: PeftCodec<RoadOptions> = {
  type: "ROAD",
  fields: { modules_to_save: modules_to_save!, variant: "road_1", group_size: 64, init_weights: true },
  refused: {},
  read: (fields) => {
    const { variant, init_weights } = fields;
    if (typeof variant !== "string" || !Object.hasOwn(VARIANTS, variant)) {
      return wrong("variant", '"road_1", "road_2" or "road_4"', variant);
    }
    return {
      variant: VARIANTS[variant as keyof typeof VARIANTS],
      group: numberField(fields, "group_size"),
      initialization: init_weights === false ? "none" : "identity",
    };
  },
  write: (options) => {
    const { variant, group, initialization } = withDefaults(road, options);
    return {
      variant: `road_${variant}`,
      group_size: group,
      init_weights: initialization !== "none",
    };
  },
  method: road,
  tensors: layerTensors(road, (leaf) => `road_${leaf}`, "without Conv1D"),
};
