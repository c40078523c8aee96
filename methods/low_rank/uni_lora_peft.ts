/** Uni-LoRA in PEFT folders: `unilora_theta_d` [d] once, outside the model's own modules; P follows from the seed. */
import type { MatrixPlace, Method, Spec, Tensor, Tree } from "../../core/mod.ts";
import { flagField, numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { uniLora, type UniLoraOptions } from "./uni_lora.ts";
import { typeError } from "../../errors/error.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;

/**
 * Codec of `peft_type` "UNILORA".
 *
 * @example
 * ```ts
 * import { uniLoraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = uniLoraPeft.read({ ...uniLoraPeft.fields, theta_d_length: 5000 });
 * assert.deepEqual([options.dimension, options.assignment], [5000, "balanced"]);
 * ```
 */
export const uniLoraPeft: PeftCodec<UniLoraOptions> = {
  type: "UNILORA",
  fields: {
    ...layerFields,
    r: 4,
    proj_seed: 42,
    theta_d_length: 256,
    unilora_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    init_theta_d_bound: 0.02,
    init_weights: true,
    save_indices: false,
  },
  biases: "unilora_only",
  refused: { save_indices: "a projection in the folder, where ours is made from its seed" },
  read: (fields) => ({
    rank: numberField(fields, "r"),
    dimension: numberField(fields, "theta_d_length"),
    assignment: "balanced",
    projectionSeed: numberField(fields, "proj_seed"),
    initialization: flagField(fields, "init_weights") ? "uniform" : "normal",
    bound: numberField(fields, "init_theta_d_bound"),
    dropout: numberField(fields, "unilora_dropout"),
  }),
  write: (given) => {
    const options = withDefaults(uniLora, given);
    if (options.assignment !== "balanced") {
      throw typeError(
        "CANNOT_SAVE",
        'Cannot save uni-lora for PEFT with columns drawn each by itself: there they stand in equal numbers, assignment "balanced"',
      );
    }
    return {
      r: options.rank,
      proj_seed: options.projectionSeed,
      theta_d_length: options.dimension,
      unilora_dropout: options.dropout,
      init_theta_d_bound: options.bound,
      init_weights: options.initialization !== "normal",
    };
  },
  method: uniLora,
  adapted: ({ method, params: all }, params, _, spec) =>
    placesReading(params["theta"] as Tensor, method, all, spec),
  tensors: (places, given) => {
    const options = withDefaults(uniLora, given);
    places.forEach((place) => peftLayer("Uni-LoRA", place, "with Conv1D"));
    return [{ path: "theta", key: "base_model.unilora_theta_d", shape: [options.dimension] }];
  },
};

/** The layers whose updates are computed from a tensor: no layer has parameters of its own. */
function placesReading(
  { storage }: Tensor,
  method: Method,
  params: Tree,
  spec: Spec,
): readonly MatrixPlace[] {
  const paths = new Set(
    method.edits(params, spec).flatMap((edit) =>
      edit.kind === "linear" && edit.change.form === "add" &&
        edit.change.map.tensors.some((t) => t.storage === storage)
        ? [edit.path]
        : []
    ),
  );
  return [...spec.linears, ...spec.embeddings, ...spec.heads].filter(({ path }) => paths.has(path));
}
