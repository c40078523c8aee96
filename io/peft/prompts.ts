/** Soft prompts between PEFT folders and methods: tables of rows, without targets. */
import {
  type Adapter,
  areGradients,
  dispose,
  leaves,
  type MethodConfig,
  type Model,
  type Spec,
  type Tree,
} from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import {
  MULTITASK_PROMPT_FIELDS,
  multitaskPromptTensors,
  readMultitaskPrompt,
  writeMultitaskPrompt,
} from "../../methods/soft_prompts/multitask_prompt_peft.ts";
import {
  multitaskPromptTuning,
  type MultitaskPromptTuningOptions,
} from "../../methods/soft_prompts/multitask_prompt_tuning.ts";
import {
  CONTEXT_PROMPT_FIELDS,
  contextPromptTensors,
  readContextPrompt,
  writeContextPrompt,
} from "../../methods/soft_prompts/context_prompt_peft.ts";
import {
  contextPromptTuning,
  type ContextPromptTuningOptions,
} from "../../methods/soft_prompts/context_prompt_tuning.ts";
import type { PeftFields } from "../../methods/peft/codec.ts";
import {
  PREFIX_FIELDS,
  prefixTensors,
  readPrefix,
  writePrefix,
} from "../../methods/soft_prompts/prefix_peft.ts";
import { prefixTuning, type PrefixTuningOptions } from "../../methods/soft_prompts/prefix_tuning.ts";
import {
  P_TUNING_FIELDS,
  PROMPT_TUNING_FIELDS,
  promptTensors,
  readPrompt,
  writePrompt,
} from "../../methods/soft_prompts/prompt_peft.ts";
import { promptTuning, type PromptTuningOptions } from "../../methods/soft_prompts/prompt_tuning.ts";
import { zeros } from "../../ops/mod.ts";
import { checkFrozen } from "../partial_params.ts";
import { componentMethods } from "../../core/combinators/component_methods.ts";
import type { MainPart } from "./folder_parts.ts";

/** PEFT's types of soft prompts. */
export type PromptType = "PROMPT_TUNING" | "P_TUNING" | "PREFIX_TUNING" | "MULTITASK_PROMPT_TUNING" | "CPT";

/** The part of a folder that a config describes, and its fields. @throws {RangeError} when it does not fit the model. */
export function promptsOfConfig(
  type: PromptType,
  config: PeftConfig,
  { spec }: Model,
): { readonly main: MainPart; readonly fields: PeftFields } {
  if (type === "PREFIX_TUNING") {
    const fields = knownFields(config, PREFIX_FIELDS, {});
    return { main: prefixPart(readPrefix(fields, spec), fields, spec), fields };
  }
  if (type === "MULTITASK_PROMPT_TUNING") {
    const fields = knownFields(config, MULTITASK_PROMPT_FIELDS, {});
    return { main: multitaskPart(readMultitaskPrompt(fields), fields, spec), fields };
  }
  if (type === "CPT") {
    const fields = knownFields(config, CONTEXT_PROMPT_FIELDS, {});
    return { main: contextPart(readContextPrompt(fields), fields, spec), fields };
  }
  const known = type === "P_TUNING" ? P_TUNING_FIELDS : PROMPT_TUNING_FIELDS;
  const fields = knownFields(config, known, {});
  const { options, tables } = readPrompt(type, fields);
  return { main: promptPart(type, options, tables, fields, spec), fields };
}

/** The part of a folder for an adapter's piece. @throws {RangeError} when PEFT would compute something else. */
export function promptsOfOptions(method: string, options: MethodConfig, spec: Spec): MainPart {
  if (method === "prefixTuning") {
    const prefix = options as PrefixTuningOptions;
    return prefixPart({ ...prefix, length: prefix.length ?? 10 }, writePrefix(prefix, spec), spec);
  }
  if (method === "multitaskPromptTuning") {
    const prompt = options as MultitaskPromptTuningOptions;
    return multitaskPart(prompt, writeMultitaskPrompt(prompt, spec), spec);
  }
  if (method === "contextPromptTuning") {
    const prompt = options as MethodConfig & ContextPromptTuningOptions;
    return contextPart(prompt, writeContextPrompt(prompt, spec), spec);
  }
  const prompt = options as PromptTuningOptions;
  const { type, fields } = writePrompt(prompt, spec);
  return promptPart(type, { ...prompt, length: prompt.length ?? 20 }, spec.stacks.length, fields, spec);
}

function prefixPart(
  options: PrefixTuningOptions & { readonly length: number },
  fields: PeftFields,
  spec: Spec,
): MainPart {
  return {
    type: "PREFIX_TUNING",
    method: prefixTuning(options),
    places: [],
    tensors: prefixTensors(options.length, spec),
    fields,
    savedPrefix: "base_model.",
  };
}

function multitaskPart(
  options: MultitaskPromptTuningOptions,
  fields: PeftFields,
  spec: Spec,
): MainPart {
  return {
    type: "MULTITASK_PROMPT_TUNING",
    method: multitaskPromptTuning(options),
    places: [],
    tensors: multitaskPromptTensors(options, spec),
    fields,
    savedPrefix: "base_model.",
  };
}

/** A finalized prompt, which PEFT trains further from zero offsets, as our method does. */
function contextPart(options: ContextPromptTuningOptions, fields: PeftFields, spec: Spec): MainPart {
  const tensors = contextPromptTensors(options, spec);
  return {
    type: "CPT",
    method: contextPromptTuning(options),
    places: [],
    tensors,
    fields,
    savedPrefix: "base_model.",
    frozen: ({ backend }) => Promise.resolve({ offsets: zeros(tensors[0]!.shape, backend) }),
  };
}

function promptPart(
  type: PromptType,
  options: PromptTuningOptions & { readonly length: number },
  tables: number,
  fields: PeftFields,
  spec: Spec,
): MainPart {
  return {
    type,
    method: promptTuning(options),
    places: [],
    tensors: promptTensors(options.length, tables, spec),
    fields,
    savedPrefix: "base_model.",
  };
}

/** Methods whose networks (or offsets) PEFT folders do not contain: their results are saved. */
const MAKERS = ["pTuning", "prefixTuning", "ipt", "iptAutoencoder", "contextPromptTuning"];

/**
 * The adapter with its prompts evaluated, without the networks that generate them; `dispose` frees what was
 * computed.
 */
export function withoutNetworks(
  adapter: Adapter,
  model: Model,
): { readonly adapter: Adapter; dispose(): void } {
  const { method, params, ...rest } = adapter;
  const makes = componentMethods(method, params).some(({ method, options }) =>
    MAKERS.includes(method) && !(method === "prefixTuning" && options["network"] === "none")
  );
  // Of gradients a network makes nothing.
  if (method.finalize === undefined || areGradients(params) || !makes) {
    return { adapter, dispose: () => {} };
  }
  checkFrozen(adapter, model, "as a PEFT folder");
  const finalized = method.finalize(params, model.spec);
  const old = new Set(leaves(params).map(([, t]) => t.storage));
  const made = leaves(finalized.params as Tree).map(([, t]) => t).filter((t) => !old.has(t.storage));
  return { adapter: { ...rest, ...finalized }, dispose: () => dispose(made) };
}
