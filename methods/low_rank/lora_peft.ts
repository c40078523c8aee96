/**
 * LoRA in PEFT folders. Keys below the layer's path, shapes as in our params:
 *
 *   linear, head   lora_A.weight [r, in]        lora_B.weight [out, r]       lora_B.bias [out] (lora_bias)
 *   embedding      lora_embedding_A [r, rows]   lora_embedding_B [width, r]
 *   bias           base_layer.bias on an adapted layer, bias elsewhere: the new bias itself, not a difference
 */
import type { Filled } from "../../core/options/mod.ts";
import { byPattern, type Json, type MatrixPlace, sizesOf } from "../../core/mod.ts";
import { lora, type LoraOptions } from "./lora.ts";
import { loraPlus, type LoraPlusOptions } from "./lora_plus.ts";
import {
  flagField,
  numberField,
  patternField,
  type PeftCodec,
  type PeftTensor,
  wrong,
} from "../peft/codec.ts";
import { biasTensors, withDefaults } from "../peft/layers.ts";
import { loraPart } from "./lora_config_peft.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "LORA".
 *
 * @example
 * ```ts
 * import { loraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = loraPeft.read({ ...loraPeft.fields, r: 16, lora_alpha: 32 });
 * assert.deepEqual([options.rank, options.alpha], [16, 32]);
 * assert.equal(loraPeft.write(options)["lora_alpha"], 32);
 * ```
 */
export const loraPeft: PeftCodec<LoraOptions> = {
  type: "LORA",
  accepts: (fields) => fields["use_dora"] !== true,
  part: (config, model) => loraPart(loraPeft, config, model),
  biases: "lora_only",
  ownBiases: ({ bias = "none" }) => bias !== "none",
  fields: {
    exclude_modules: null,
    modules_to_save: null,
    r: 8,
    lora_alpha: 8,
    lora_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    use_rslora: false,
    init_lora_weights: true,
    rank_pattern: {},
    alpha_pattern: {},
    lora_bias: false,
    layers_to_transform: null,
    layers_pattern: null,
    trainable_token_indices: null,
    ensure_weight_tying: false,
    megatron_config: null,
    megatron_core: "megatron.core",
    loftq_config: {},
    eva_config: null,
    corda_config: null,
    lora_ga_config: null,
    monteclora_config: null,
    velora_config: null,
    kasa_config: null,
    arrow_config: null,
    use_dora: false,
    alora_invocation_tokens: null,
    use_qalora: false,
    qalora_group_size: 16,
    layer_replication: null,
    target_parameters: null,
    use_bdlora: null,
  },
  refused: {
    use_dora: "DoRA",
    alora_invocation_tokens: "activated LoRA, on only after given tokens",
    use_qalora: "QALoRA's grouped inputs",
    megatron_config: "Megatron's parallel layers",
    use_bdlora: "block-diagonal LoRA",
    arrow_config: "Arrow's routing",
    kasa_config: "KaSA, which cuts the base's small singular values",
    monteclora_config: "Monte Carlo LoRA",
    velora_config: "VeLoRA's compressed activations",
  },
  read: (fields) => {
    const rankPattern = patternField(fields, "rank_pattern");
    const alphaPattern = patternField(fields, "alpha_pattern");
    return {
      rank: numberField(fields, "r"),
      alpha: numberField(fields, "lora_alpha"),
      scaling: flagField(fields, "use_rslora") ? "rankStabilized" : "standard",
      dropout: numberField(fields, "lora_dropout"),
      ...rankPattern && { rankPattern },
      ...alphaPattern && { alphaPattern },
      initialization: initializationOf(fields["init_lora_weights"]),
      bias: biasOf(fields["bias"]),
      branchBias: flagField(fields, "lora_bias"),
    };
  },
  write: (given) => {
    const options = withDefaults(lora, given);
    return {
      r: options.rank,
      lora_alpha: options.alpha ?? options.rank,
      use_rslora: options.scaling === "rankStabilized",
      lora_dropout: options.dropout,
      rank_pattern: options.rankPattern ?? {},
      alpha_pattern: options.alphaPattern ?? {},
      init_lora_weights: { default: true, none: false, gaussian: "gaussian", orthogonal: "orthogonal" }[
        options.initialization
      ],
      bias: { none: "none", adapted: "lora_only", all: "all" }[options.bias],
      lora_bias: options.branchBias,
    };
  },
  method: lora,
  tensors: (places, given, spec) => {
    const options = withDefaults(lora, given);
    return [
      ...places.flatMap((place) => factors(place, options)),
      ...options.bias === "none" ? [] : biasTensors(places, options.bias, spec),
    ];
  },
};

function factors(place: MatrixPlace, options: Filled<LoraOptions>): readonly PeftTensor[] {
  const { path } = place;
  const { inFeatures, outFeatures } = sizesOf(place);
  const rank = byPattern(options.rankPattern, path, options.rank);
  const tensor = (slot: string, key: string, shape: readonly number[]): PeftTensor => ({
    path: `${path}.${slot}`,
    key: `${path}.${key}`,
    shape,
  });
  if (place.kind === "embedding") {
    if (options.branchBias) {
      throw rangeError(
        "CANNOT_SAVE",
        `PEFT has no lora_bias on an embedding: leave out "${path}" or the bias of the branch`,
      );
    }
    return [
      tensor("a", "lora_embedding_A", [rank, inFeatures]),
      tensor("b", "lora_embedding_B", [outFeatures, rank]),
    ];
  }
  return [
    tensor("a", "lora_A.weight", [rank, inFeatures]),
    tensor("b", "lora_B.weight", [outFeatures, rank]),
    ...options.branchBias ? [tensor("branchBias", "lora_B.bias", [outFeatures])] : [],
  ];
}

function biasOf(value: Json | undefined): NonNullable<LoraOptions["bias"]> {
  switch (value) {
    case "none":
    case "all":
      return value;
    case "lora_only":
      return "adapted";
    default:
      return wrong("bias", '"none", "all" or "lora_only"', value);
  }
}

/**
 * The initialization matters to a finished adapter only if it also changed the base, and the caller handles
 * that (changed_base.ts).
 */
function initializationOf(value: Json | undefined): NonNullable<LoraOptions["initialization"]> {
  if (value === false) return "none";
  switch (value) {
    case true:
    case "eva": // A from the activations' singular vectors; the base is unchanged.
    case "mica": // B from the weights' last singular vectors; the base is unchanged.
      return "default";
    case "gaussian":
    case "orthogonal":
      return value;
    default:
      return wrong("init_lora_weights", "one of PEFT's starts", value);
  }
}

/** LoRA+ is LoRA once it is trained: it is saved as such, and no folder is read as it. */
export const loraPlusPeft: PeftCodec<LoraPlusOptions> = {
  ...loraPeft,
  accepts: () => false,
  method: loraPlus,
};
