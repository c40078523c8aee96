/** LoHa in PEFT folders: `hada_w1_a`, `hada_w2_a` [out, r] and `hada_w1_b`, `hada_w2_b` [r, in] below the layer's path. */
import type { MatrixPlace } from "../../core/mod.ts";
import { loha, type LohaOptions, lohaRank } from "./loha.ts";
import { flagField, numberField, patternField, type PeftCodec, type PeftTensor } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer } from "../peft/layers.ts";

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
  write: (options) => ({
    r: options.rank ?? 8,
    alpha: options.alpha ?? options.rank ?? 8,
    rank_pattern: options.rankPattern ?? {},
    alpha_pattern: options.alphaPattern ?? {},
    rank_dropout: options.rowDropout ?? 0,
    module_dropout: options.moduleDropout ?? 0,
    init_weights: options.initialization !== "none",
  }),
  method: loha,
  tensors: (places, options) => places.flatMap((place) => factors(place, options)),
};

function factors(place: MatrixPlace, options: LohaOptions): readonly PeftTensor[] {
  const { path, inFeatures, outFeatures } = peftLayer("LoHa", place, "without Conv1D");
  const r = lohaRank(path, options);
  return (["w1", "w2"] as const).flatMap((factor) => [
    { path: `${path}.${factor}a`, key: `${path}.hada_${factor}_a`, shape: [outFeatures, r] },
    { path: `${path}.${factor}b`, key: `${path}.hada_${factor}_b`, shape: [r, inFeatures] },
  ]);
}
