/** The forms of AdapterHub's configurations. */
import { bottleneckAdapter } from "../adapters/bottleneck_adapter.ts";
import { compacter, compacterPlusPlus } from "../adapters/compacter.ts";
import { houlsby } from "../adapters/houlsby.ts";
import { invertibleAdapter } from "../adapters/invertible_adapter.ts";
import { parallelAdapter } from "../adapters/parallel_adapter.ts";
import { pfeiffer } from "../adapters/pfeiffer.ts";
import { phmAdapter } from "../adapters/phm_adapter.ts";
import { dora } from "../low_rank/dora.ts";
import { fusedIa3, fusedLora } from "../low_rank/fused_projection.ts";
import { lora } from "../low_rank/lora.ts";
import { loraPlus } from "../low_rank/lora_plus.ts";
import { vera } from "../low_rank/vera.ts";
import { ia3 } from "../rescaling/ia3.ts";
import { loreft } from "../rescaling/loreft.ts";
import { prefixTuning } from "../soft_prompts/prefix_tuning.ts";
import { promptTuning } from "../soft_prompts/prompt_tuning.ts";
import { spotDefinition } from "../soft_prompts/spot.ts";
import { bottleneckParts } from "./bottleneck.ts";
import { bottleneckFields, generalForm, invertibleFields } from "./bottleneck_fields.ts";
import type { Component } from "./components.ts";
import type { AdaptersForm } from "./form.ts";
import { BOTTLENECK, FUSED, INVERTIBLE, LORA, PREFIX, PROMPT, REFT } from "./kinds.ts";
import { loraParts } from "./lora.ts";
import { fusedFields, ia3Fields, loraFields, veraFields } from "./lora_fields.ts";
import { prefixFields, prefixPart, promptFields, promptPart } from "./prompts.ts";
import { reftFields, reftPart } from "./reft.ts";

/** The options of a component, which are those of its method. */
const own = ({ options }: Component): never => options as never;

/** Bottleneck and invertible adapters. */
export const bottleneckHub: AdaptersForm = {
  architectures: ["bottleneck"],
  read: ({ fields }, model, { name, modelClass }) => bottleneckParts(fields, model, name, modelClass),
  writes: [
    {
      methods: [
        houlsby.definition,
        pfeiffer.definition,
        parallelAdapter.definition,
        compacter.definition,
        compacterPlusPlus.definition,
        phmAdapter.definition,
        bottleneckAdapter.definition,
      ],
      kind: BOTTLENECK,
      fields: (component, model) => bottleneckFields(component, generalForm(component, model), model),
    },
    {
      methods: [invertibleAdapter.definition],
      kind: INVERTIBLE,
      fields: (component, model) => invertibleFields(component, own(component), model),
      undone: ({ undone = "heads" }) => undone === "heads",
    },
  ],
};

/** Prefixes. */
export const prefixHub: AdaptersForm = {
  architectures: ["prefix_tuning"],
  read: ({ fields }, model, { name }) => [prefixPart(fields, model, name)],
  writes: [{
    methods: [prefixTuning.definition],
    kind: PREFIX,
    fields: (component, model) => prefixFields(component, own(component), model),
  }],
};

/** Prompts. */
export const promptHub: AdaptersForm = {
  architectures: ["prompt_tuning"],
  read: ({ fields }, model, { name }) => [promptPart(fields, model, name)],
  writes: [{
    methods: [promptTuning.definition, spotDefinition],
    kind: PROMPT,
    fields: (component, model) => promptFields(component, own(component), model),
  }],
};

/** LoRA, DoRA, VeRA and (IA)³, on layers of their own or parts of fused ones. */
export const loraHub: AdaptersForm = {
  architectures: ["lora", "mtl_lora"],
  read: ({ architecture, fields }, model, { name }, stored) =>
    loraParts(architecture, fields, model, name, stored),
  // LoRA was trained with the factor 1 regardless of α.
  asTrained: (config) =>
    config.architecture === "lora"
      ? { ...config, fields: { ...config.fields, alpha: config.fields["r"]! } }
      : config,
  writes: [
    {
      methods: [lora.definition, loraPlus.definition, dora.definition],
      kind: LORA,
      fields: (component, model) => loraFields(component, own(component), model),
    },
    {
      methods: [vera.definition],
      kind: LORA,
      fields: (component, model) => veraFields(component, own(component), model),
    },
    { methods: [ia3.definition], kind: LORA, fields: ia3Fields },
    {
      methods: [fusedLora.definition, fusedIa3.definition],
      kind: FUSED,
      fields: (component, model) => fusedFields(component, own(component), model),
    },
  ],
};

/** ReFT. */
export const reftHub: AdaptersForm = {
  architectures: ["reft"],
  read: ({ fields }, model, { name }) => [reftPart(fields, model, name)],
  writes: [{
    methods: [loreft.definition],
    kind: REFT,
    fields: (component, model) => reftFields(component, own(component), model),
  }],
};
