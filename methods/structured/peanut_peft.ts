/**
 * PEANuT in PEFT folders: `peanut_A.weight` [r, out], `peanut_B.weight` [out, r], `peanut_encoders.i.weight` and
 * `peanut_decoders.i.weight` [r, r] below the layer's path.
 */
import type { Activation } from "../shared/bottleneck.ts";
import { peanut, type PeanutOptions } from "./peanut.ts";
import { flagField, numberField, type PeftCodec, type PeftFields, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "PEANUT".
 *
 * @example
 * ```ts
 * import { peanutPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(peanutPeft.read({ ...peanutPeft.fields, act_fn: "swish" }).activation, "silu");
 * assert.throws(() => peanutPeft.read({ ...peanutPeft.fields, act_fn: "mish" }), /"act_fn"/);
 * ```
 */
export const peanutPeft: PeftCodec<PeanutOptions> = {
  type: "PEANUT",
  fields: { ...LAYER_FIELDS, r: 32, depth: 0, act_fn: "relu", scaling: 1, init_weights: true },
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    depth: numberField(fields, "depth"),
    activation: activationOf(fields),
    scale: numberField(fields, "scaling"),
    initialization: flagField(fields, "init_weights") ? "zero" : "none",
  }),
  write: (options) => {
    const { rank, depth, activation, scale, initialization } = withDefaults(peanut, options);
    return {
      r: rank,
      depth,
      act_fn: wordOf(activation),
      scaling: scale,
      init_weights: initialization !== "none",
    };
  },
  method: peanut,
  tensors: layerTensors(
    peanut,
    (leaf) => `peanut_${leaf.length === 1 ? leaf.toUpperCase() : leaf}.weight`,
    "without Conv1D",
  ),
};

/** Transformers' names of the supported functions. */
function activationOf(fields: PeftFields): Activation {
  const value = fields["act_fn"];
  switch (value) {
    case "relu":
    case "gelu":
    case "silu":
    case "tanh":
    case "sigmoid":
      return value;
    case "swish":
      return "silu";
    case "gelu_new":
    case "gelu_pytorch_tanh":
      return "geluTanh";
    case "leaky_relu":
      return "leakyRelu";
    case "linear":
      return "none";
    default:
      return wrong(
        "act_fn",
        "relu, gelu, gelu_new, gelu_pytorch_tanh, silu, swish, tanh, sigmoid, leaky_relu or linear",
        value,
      );
  }
}

function wordOf(activation: Activation): string {
  switch (activation) {
    case "geluTanh":
      return "gelu_new";
    case "leakyRelu":
      return "leaky_relu";
    case "none":
      return "linear";
    default:
      return activation;
  }
}
