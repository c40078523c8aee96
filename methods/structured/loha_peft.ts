/** LoHa in PEFT folders: `hada_w1_a`, `hada_w2_a` [out, r] and `hada_w1_b`, `hada_w2_b` [r, in] below the layer's path. */
import { loha, type LohaOptions } from "./loha.ts";
import { flagField, numberField, patternField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "LOHA".
 *
 * @example
 * ```ts
 * import { lohaPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(lohaPeft.read({ ...lohaPeft.fields, r: 4 }).rank, 4);
 * ```
 */
export const lohaPeft: PeftCodec<LohaOptions> = {
  type: "LOHA",
  fields: {
    ...LAYER_FIELDS,
    r: 8,
    alpha: 8,
    rank_pattern: {},
    alpha_pattern: {},
    rank_dropout: 0,
    module_dropout: 0,
    use_effective_conv2d: false,
    init_weights: true,
  },
  refused: {},
  read: (fields) => {
    const rankPattern = patternField(fields, "rank_pattern");
    const alphaPattern = patternField(fields, "alpha_pattern");
    return {
      rank: numberField(fields, "r"),
      alpha: numberField(fields, "alpha"),
      ...rankPattern && { rankPattern },
      ...alphaPattern && { alphaPattern },
      rowDropout: numberField(fields, "rank_dropout"),
      moduleDropout: numberField(fields, "module_dropout"),
      initialization: flagField(fields, "init_weights") ? "peft" : "none",
    };
  },
  write: (options) => {
    const own = withDefaults(loha, options);
    return {
      r: own.rank,
      alpha: own.alpha ?? own.rank,
      rank_pattern: own.rankPattern ?? {},
      alpha_pattern: own.alphaPattern ?? {},
      rank_dropout: own.rowDropout,
      module_dropout: own.moduleDropout,
      init_weights: own.initialization !== "none",
    };
  },
  method: loha,
  tensors: layerTensors(loha, (leaf) => `hada_${leaf.replace(/[ab]$/, "_$&")}`, "without Conv1D"),
};
