/** DeLoRA in PEFT folders: `delora_A`, `delora_B`, `delora_lambda` and the column norms `delora_w_norm` below the layer's path. */
import { delora, type DeloraOptions, deloraRank } from "./delora.ts";
import { numberField, patternField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { typeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "DELORA". Its `module_dropout` drops inputs, not modules.
 *
 * @example
 * ```ts
 * import { deloraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(deloraPeft.read({ ...deloraPeft.fields, delora_lambda: 8 }).lambda, 8);
 * assert.throws(() => deloraPeft.write({ initialization: "copy" }), /frozen copy/);
 * ```
 */
export const deloraPeft: PeftCodec<DeloraOptions> = {
  type: "DELORA",
  fields: {
    ...LAYER_FIELDS,
    r: 8,
    delora_lambda: 15,
    module_dropout: 0,
    bias: "none",
    init_weights: true,
    rank_pattern: {},
    lambda_pattern: {},
  },
  biases: "delora_only",
  refused: {},
  read: (fields) => {
    const [rankPattern, lambdaPattern] = ["rank_pattern", "lambda_pattern"].map((name) =>
      patternField(fields, name)
    );
    return {
      rank: numberField(fields, "r"),
      lambda: numberField(fields, "delora_lambda"),
      ...rankPattern && { rankPattern },
      ...lambdaPattern && { lambdaPattern },
      dropout: numberField(fields, "module_dropout"),
      initialization: fields["init_weights"] === true ? "zero" : "none",
    };
  },
  write: (given) => {
    const options = withDefaults(delora, given);
    if (options.initialization === "copy") {
      throw typeError(
        "CANNOT_SAVE",
        'PEFT has no DeLoRA with a frozen copy of its start: train with initialization "zero", or merge the adapter',
      );
    }
    return {
      r: options.rank,
      delora_lambda: options.lambda,
      rank_pattern: options.rankPattern ?? {},
      lambda_pattern: options.lambdaPattern ?? {},
      module_dropout: options.dropout,
      init_weights: options.initialization !== "none",
    };
  },
  method: delora,
  tensors: (places, given) => {
    const options = withDefaults(delora, given);
    return places.flatMap((place) => {
      const { path, inFeatures, outFeatures } = peftLayer("DeLoRA", place, "without Conv1D");
      const r = deloraRank(path, options);
      return [
        { path: `${path}.a`, key: `${path}.delora_A`, shape: [r, inFeatures] },
        { path: `${path}.b`, key: `${path}.delora_B`, shape: [outFeatures, r] },
        { path: `${path}.lambda`, key: `${path}.delora_lambda`, shape: [1] },
        { path: `${path}.frozen.norms`, key: `${path}.delora_w_norm`, shape: [inFeatures] },
      ];
    });
  },
};
