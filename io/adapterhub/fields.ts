/**
 * Converts a method to AdapterHub's configuration for it. Methods that it would compute differently are
 * refused.
 */
import type { Model } from "../../core/mod.ts";
import type { AdaptersConfig } from "../../formats/adapters_config.ts";
import { ADAPTERS_FIELDS, type AdaptersFields } from "../../formats/adapters_fields.ts";
import type {
  Activation,
  LoreftOptions,
  PrefixTuningOptions,
  PromptTuningOptions,
} from "../../methods/mod.ts";
import { activationName } from "../../methods/adapterhub/activations.ts";
import { bottleneckFields, generalForm, invertibleFields } from "../../methods/adapterhub/bottleneck_fields.ts";
import { blockNumber, type PartKind } from "../../methods/adapterhub/layout.ts";
import { fusedFields, ia3Fields, loraFields, veraFields } from "../../methods/adapterhub/lora_fields.ts";
import { type Component, holds, leftOut, refuse } from "../../methods/adapterhub/components.ts";

/** A component with its configuration. */
export interface Described {
  readonly component: Component;
  readonly kind: PartKind;
  readonly config: AdaptersConfig;
}

/** @throws {TypeError} when the library has no such method. @throws {RangeError} when it would compute something else. */
export function describe(component: Component, model: Model): Described {
  const options = component.options as never;
  const fields = (
    kind: PartKind,
    architecture: AdaptersConfig["architecture"],
    fields: AdaptersFields,
  ): Described => {
    if (component.gate !== undefined && kind !== "prefix" && component.gate !== "sentence-gate") {
      return refuse(component, `the gate "${component.gate}" is for prefixes`);
    }
    const gating: AdaptersFields = component.gate === undefined ? {} : { use_gating: true };
    return {
      component,
      kind,
      config: { architecture, fields: { ...ADAPTERS_FIELDS[architecture], ...fields, ...gating } },
    };
  };
  switch (component.method) {
    case "houlsby":
    case "pfeiffer":
    case "parallel-adapter":
    case "compacter":
    case "compacter-plus-plus":
    case "phm-adapter":
    case "bottleneck-adapter":
      return fields(
        "bottleneck",
        "bottleneck",
        bottleneckFields(component, generalForm(component, model), model),
      );
    case "invertible-adapter":
      return fields("invertible", "bottleneck", invertibleFields(component, options, model));
    case "prefix-tuning":
      return fields("prefix", "prefix_tuning", prefixFields(component, options, model));
    case "prompt-tuning":
    case "spot":
      return fields("prompt", "prompt_tuning", promptFields(component, options, model));
    case "lora":
    case "lora-plus":
    case "dora":
      return fields("lora", "lora", loraFields(component, options, model));
    case "vera":
      return fields("lora", "lora", veraFields(component, options, model));
    case "ia3":
      return fields("lora", "lora", ia3Fields(component, model));
    case "fused-lora":
    case "fused-ia3":
      return fields("fused", "lora", fusedFields(component, options, model));
    case "loreft":
      return fields("reft", "reft", reftFields(component, options, model));
    default:
      throw new TypeError(
        `Cannot save "${component.method}" as an AdapterHub folder: it holds bottleneck, parallel and invertible adapters, Compacter, ` +
          "AdapterFusion, prefix and prompt tuning, LoRA, DoRA, VeRA, (IA)³, ReFT, gated ones of these and heads; save it " +
          'with format "graft", or merge it and save the model',
      );
  }
}

function prefixFields(component: Component, options: PrefixTuningOptions, model: Model): AdaptersFields {
  const { length = 10, network = { hidden: 512 }, dropout = 0, positions = "past", distances = "true" } =
    options;
  if (options.rows === "peft") refuse(component, 'its prefixes are each attention\'s own: rows "own"');
  const { spec } = model;
  const two = spec.stacks.length > 1;
  const decodes = spec.attentions.some(({ stack, role }) => stack === "decoder" && role === "self");
  if (positions === "always" || (positions === "past" && decodes)) {
    refuse(component, 'its prefixes take no positions there: positions "none"');
  }
  if (two && distances !== "pushed") {
    refuse(component, 'its prefixes move the distances of such a model: distances "pushed"');
  }
  const kinds = (stack: string, role: string): boolean =>
    spec.attentions.some((place) =>
      place.stack === stack && place.role === role && holds(component, place.path)
    );
  return {
    prefix_length: length,
    flat: network === "none",
    ...network !== "none" && {
      bottleneck_size: network.hidden,
      non_linearity: activationName(network.activation ?? "tanh"),
    },
    dropout,
    encoder_prefix: !two || kinds("encoder", "self"),
    cross_prefix: !two || kinds("decoder", "cross"),
    leave_out: two ? [] : leftOut(component, spec.attentions, model),
    shared_gating: component.gate !== "key-value-gate",
  };
}

function promptFields(component: Component, options: PromptTuningOptions, model: Model): AdaptersFields {
  const { length = 20, where = "front" } = options;
  if (model.architecture.name !== "bert") {
    refuse(component, "the library has prompts for BERT and RoBERTa alone");
  }
  if (where !== "entered" && where !== "afterFirst") {
    refuse(component, 'its prompts get no positions and no norm of the embeddings: where "entered"');
  }
  return { prompt_length: length, combine: where === "entered" ? "prefix" : "prefix_after_bos" };
}

function reftFields(component: Component, options: LoreftOptions, model: Model): AdaptersFields {
  const { rank = 8, first = 7, last = 7, ends = "tied", dropout = 0, rows = "orthonormal" } = options;
  const { subtracts = "projection", activation = "none" as Activation, atMost = "half" } = options;
  const held = model.spec.blocks.filter(({ path }) => holds(component, path));
  if (held.length === 0) refuse(component, "none of its parameters stands at a block");
  return {
    r: rank,
    prefix_positions: first,
    suffix_positions: last,
    tied_weights: ends === "tied",
    dropout,
    orthogonality: rows === "orthonormal",
    subtract_projection: subtracts === "projection",
    non_linearity: activation === "none" ? null : activationName(activation),
    layers: held.length === model.spec.blocks.length ? "all" : held.map((place) => blockNumber(model, place)),
    ...atMost === "half" && { at_most: "half" },
  };
}
