/**
 * CPT in PEFT folders: one table `prompt_embeddings` [n, d], the sum of tokens and offsets, as PEFT saves and
 * reloads them. PEFT treats the text as a further example if the context's last type is a label; otherwise
 * its loss is empty.
 */
import { withDefaults } from "../peft/layers.ts";
import type { MethodConfig, Spec } from "../../core/mod.ts";
import { knownFields } from "../../formats/peft_config.ts";
import { zeros } from "../../ops/mod.ts";
import { type MainPart, numberField, type PeftFields, type PeftTensor, wrong } from "../peft/codec.ts";
import type { PeftForm } from "../peft/form.ts";
import { contextPromptTuning, type ContextPromptTuningOptions } from "./context_prompt_tuning.ts";
import { PROMPT_FIELDS } from "./prompt_peft.ts";
import { promptStack } from "./prompt_rows.ts";

/** Fields of `peft_type` "CPT". PEFT reads neither `cpt_mask` nor the tokenizer once it has the ids. */
export const CONTEXT_PROMPT_FIELDS: PeftFields = {
  ...PROMPT_FIELDS,
  cpt_token_ids: null,
  cpt_mask: null,
  cpt_tokens_type_mask: null,
  opt_weighted_loss_type: "none",
  opt_loss_decay_factor: 1,
  opt_projection_epsilon: 0.1,
  opt_projection_format_epsilon: 0.1,
  tokenizer_name_or_path: null,
};

/**
 * Reads the fields.
 *
 * @throws {TypeError} when one has the wrong kind.
 * @example
 * ```ts
 * import { CONTEXT_PROMPT_FIELDS, readContextPrompt } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const fields = { ...CONTEXT_PROMPT_FIELDS, cpt_token_ids: [5, 6], cpt_tokens_type_mask: [2, 4] };
 * assert.deepEqual(readContextPrompt(fields).types, [2, 4]);
 * ```
 */
export function readContextPrompt(fields: PeftFields): ContextPromptTuningOptions {
  const tokens = numbers(fields, "cpt_token_ids");
  const weighted = fields["opt_weighted_loss_type"];
  if (weighted !== "none" && weighted !== "decay") {
    return wrong("opt_weighted_loss_type", '"none" or "decay"', weighted);
  }
  const decay = numberField(fields, "opt_loss_decay_factor");
  return {
    tokens,
    types: numbers(fields, "cpt_tokens_type_mask"),
    epsilon: numberField(fields, "opt_projection_epsilon"),
    templateEpsilon: numberField(fields, "opt_projection_format_epsilon"),
    ...weighted === "decay" && { decay },
  };
}

/**
 * The fields that options set.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { writeContextPrompt } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { opt_weighted_loss_type, num_virtual_tokens } = writeContextPrompt({ tokens: [5, 6], decay: 0.9 }, spec);
 * assert.deepEqual([opt_weighted_loss_type, num_virtual_tokens], ["decay", 2]);
 * ```
 */
export function writeContextPrompt(options: ContextPromptTuningOptions, spec: Spec): PeftFields {
  const { tokens, types, epsilon, templateEpsilon, decay } = withDefaults(contextPromptTuning, options);
  return {
    ...CONTEXT_PROMPT_FIELDS,
    num_virtual_tokens: tokens.length,
    num_transformer_submodules: 1,
    token_dim: promptStack(spec, "context-prompt-tuning").width,
    num_attention_heads: spec.attentions[0]?.heads ?? 1,
    num_layers: spec.blocks.length,
    cpt_token_ids: tokens,
    cpt_mask: tokens.map(() => 1),
    cpt_tokens_type_mask: types ?? tokens.map(() => 1),
    opt_weighted_loss_type: decay === 1 ? "none" : "decay",
    opt_loss_decay_factor: decay,
    opt_projection_epsilon: epsilon,
    opt_projection_format_epsilon: templateEpsilon,
  };
}

/**
 * The tensor of the folder.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { contextPromptTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(contextPromptTensors({ tokens: [5, 6] }, spec)[0]!.shape, [2, 16]);
 * ```
 */
export function contextPromptTensors(
  { tokens }: ContextPromptTuningOptions,
  spec: Spec,
): readonly PeftTensor[] {
  const { width } = promptStack(spec, "context-prompt-tuning");
  return [{ path: "frozen.tokens", key: "prompt_embeddings", shape: [tokens.length, width] }];
}

function numbers(fields: PeftFields, name: string): readonly number[] {
  const value = fields[name];
  return Array.isArray(value) && value.every((n) => typeof n === "number")
    ? value as readonly number[]
    : wrong(name, "a list of numbers", value);
}

/** Folders of `peft_type` "CPT": finalized prompts, which PEFT trains further from zero offsets, as our method does. */
export const contextPromptPeft: PeftForm = {
  types: ["CPT"],
  methods: [contextPromptTuning.definition],
  finalized: [{ definition: contextPromptTuning.definition }],
  read: (config, { spec }) => {
    const fields = knownFields(config, CONTEXT_PROMPT_FIELDS, {});
    return { main: part(readContextPrompt(fields), fields, spec), fields };
  },
  write: ({ options }, { spec }) => {
    const own = options as MethodConfig & ContextPromptTuningOptions;
    return { main: part(own, writeContextPrompt(own, spec), spec), targets: {} };
  },
};

function part(options: ContextPromptTuningOptions, fields: PeftFields, spec: Spec): MainPart {
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
