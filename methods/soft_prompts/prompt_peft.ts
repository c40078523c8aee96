/**
 * Prompt tuning and P-tuning in PEFT folders: one table `prompt_embeddings` [n, d]. PEFT evaluates P-tuning's
 * encoder when it saves, so such a folder also holds a finished prompt. For encoder-decoder models the table
 * is [2 n, d], of which PEFT's forward pass reads the first n rows.
 */
import { withDefaults } from "../peft/layers.ts";
import type { MethodConfig, Spec } from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import {
  type MainPart,
  numberField,
  type PeftFields,
  type PeftTensor,
  type ReadPart,
  wrong,
} from "../peft/codec.ts";
import type { PeftForm } from "../peft/form.ts";
import { iptDefinition } from "./ipt.ts";
import { iptAutoencoderDefinition } from "./ipt_autoencoder.ts";
import { pTuning } from "./p_tuning.ts";
import type { PromptEncoder } from "./prompt_encoder.ts";
import { promptStack, type PromptStart } from "./prompt_rows.ts";
import { promptTuning, type PromptTuningOptions } from "./prompt_tuning.ts";
import { spotDefinition } from "./spot.ts";
import { rangeError } from "../../errors/error.ts";

/** Fields common to all of PEFT's prompts, with their defaults. */
export const PROMPT_FIELDS: PeftFields = {
  modules_to_save: null,
  num_virtual_tokens: null,
  token_dim: null,
  num_transformer_submodules: null,
  num_attention_heads: null,
  num_layers: null,
};

/** Fields of `peft_type` "PROMPT_TUNING". */
export const PROMPT_TUNING_FIELDS: PeftFields = {
  ...PROMPT_FIELDS,
  prompt_tuning_init: "RANDOM",
  prompt_tuning_init_text: null,
  tokenizer_name_or_path: null,
  tokenizer_kwargs: null,
};

/** Fields of `peft_type` "P_TUNING". */
export const P_TUNING_FIELDS: PeftFields = {
  ...PROMPT_FIELDS,
  encoder_reparameterization_type: "MLP",
  encoder_hidden_size: null,
  encoder_num_layers: 2,
  encoder_dropout: 0,
};

/** The content of a prompt's fields. `tables` is PEFT's number of stacks. */
export interface PeftPrompt {
  /** The method's options. */
  readonly options: PromptTuningOptions & { readonly length: number };
  /** How many tables the file holds: one, or one per stack. */
  readonly tables: number;
}

/**
 * Reads the fields of either type.
 *
 * @throws {TypeError} when one has the wrong kind.
 * @example
 * ```ts
 * import { PROMPT_TUNING_FIELDS, readPrompt } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const fields = { ...PROMPT_TUNING_FIELDS, num_virtual_tokens: 8 };
 * const { options, tables } = readPrompt("PROMPT_TUNING", fields);
 * assert.deepEqual([options.length, tables], [8, 1]);
 * ```
 */
export function readPrompt(type: "PROMPT_TUNING" | "P_TUNING", fields: PeftFields): PeftPrompt {
  const length = numberField(fields, "num_virtual_tokens");
  const tables = fields["num_transformer_submodules"] === null
    ? 1
    : numberField(fields, "num_transformer_submodules");
  if (tables !== 1 && tables !== 2) return wrong("num_transformer_submodules", "1 or 2", tables);
  const past = type === "PROMPT_TUNING" ? { start: startOf(fields) } : { madeBy: encoderOf(fields) };
  return { options: { length, ...past }, tables };
}

/**
 * The fields of a prompt, under the type of the network that generated it, if PEFT has that one.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { writePrompt } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { type, fields } = writePrompt({ length: 8 }, spec);
 * assert.deepEqual([type, fields["num_virtual_tokens"], fields["token_dim"]], ["PROMPT_TUNING", 8, 16]);
 * ```
 */
export function writePrompt(
  options: PromptTuningOptions,
  spec: Spec,
): { readonly type: "PROMPT_TUNING" | "P_TUNING"; readonly fields: PeftFields } {
  const { length, start, where, madeBy } = withDefaults(promptTuning, options);
  if (where !== "front") {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save a prompt with where ${
        JSON.stringify(where)
      } for PEFT: its prompts stand before the embedded text`,
    );
  }
  const stack = promptStack(spec, "prompt-tuning");
  const common: PeftFields = {
    ...PROMPT_FIELDS,
    num_virtual_tokens: length,
    token_dim: stack.width,
    num_transformer_submodules: spec.stacks.length,
    num_attention_heads: spec.attentions[0]?.heads ?? 1,
    num_layers: stack.layers,
  };
  const encoder = madeBy === undefined ? undefined : encoderFields(madeBy, stack.width);
  return encoder === undefined
    ? {
      type: "PROMPT_TUNING",
      fields: {
        ...PROMPT_TUNING_FIELDS,
        ...common,
        // PEFT's TEXT needs the text and its tokenizer, and reads neither once the prompt is trained.
        prompt_tuning_init: start?.from === "vocabulary" ? "SAMPLE_VOCAB" : "RANDOM",
      },
    }
    : { type: "P_TUNING", fields: { ...P_TUNING_FIELDS, ...common, ...encoder } };
}

/**
 * The table in the file.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { promptTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(promptTensors(8, 1, spec), [{ path: "rows", key: "prompt_embeddings", shape: [8, 16] }]);
 * ```
 */
export function promptTensors(length: number, tables: number, spec: Spec): readonly PeftTensor[] {
  const { width } = promptStack(spec, "prompt-tuning");
  return [{
    path: "rows",
    key: "prompt_embeddings",
    shape: [length, width],
    ...tables > 1 && { stored: [tables * length, width], part: { axis: 0, from: 0 } },
  }];
}

function startOf(fields: PeftFields): PromptStart {
  const init = fields["prompt_tuning_init"];
  switch (init) {
    case "RANDOM":
    case "TEXT": // the text's embeddings are already in the table
      return { from: "uniform" };
    case "SAMPLE_VOCAB":
      return { from: "vocabulary" };
    default:
      return wrong("prompt_tuning_init", '"RANDOM", "SAMPLE_VOCAB" or "TEXT"', init);
  }
}

function encoderOf(fields: PeftFields): PromptEncoder {
  const k = numberField(fields, "encoder_hidden_size");
  const type = fields["encoder_reparameterization_type"];
  switch (type) {
    case "MLP":
      return { kind: "mlp", hidden: [k, k] };
    case "LSTM": {
      const [layers, dropout] = [
        numberField(fields, "encoder_num_layers"),
        numberField(fields, "encoder_dropout"),
      ];
      return { kind: "lstm", hidden: k, inner: 2 * k, layers, dropout };
    }
    default:
      return wrong("encoder_reparameterization_type", '"MLP" or "LSTM"', type);
  }
}

/** undefined for sizes that PEFT's encoders do not have. */
function encoderFields(encoder: PromptEncoder, width: number): PeftFields | undefined {
  if (encoder.kind === "mlp") {
    const [k, l, ...more] = encoder.hidden ?? [width];
    return k === l && more.length === 0
      ? { encoder_reparameterization_type: "MLP", encoder_hidden_size: k! }
      : undefined;
  }
  const { hidden = width / 2, inner = width, layers = 2, dropout = 0 } = encoder;
  return inner === 2 * hidden
    ? {
      encoder_reparameterization_type: "LSTM",
      encoder_hidden_size: hidden,
      encoder_num_layers: layers,
      encoder_dropout: dropout,
    }
    : undefined;
}

/** Folders of prompts. A network that made the rows is evaluated: PEFT stores its result. */
export const promptPeft: PeftForm = {
  types: ["PROMPT_TUNING", "P_TUNING"],
  methods: [promptTuning.definition, spotDefinition],
  finalized: [
    { definition: pTuning.definition },
    { definition: iptDefinition },
    { definition: iptAutoencoderDefinition },
  ],
  read: (config, { spec }) =>
    config.type === "P_TUNING"
      ? readOf("P_TUNING", P_TUNING_FIELDS, config, spec)
      : readOf("PROMPT_TUNING", PROMPT_TUNING_FIELDS, config, spec),
  write: ({ options }, { spec }) => {
    const prompt = options as MethodConfig & PromptTuningOptions & { readonly length: number };
    const { type, fields } = writePrompt(prompt, spec);
    return { main: promptPart(type, prompt, spec.stacks.length, fields, spec), targets: {} };
  },
};

function readOf(
  type: "PROMPT_TUNING" | "P_TUNING",
  known: PeftFields,
  config: PeftConfig,
  spec: Spec,
): ReadPart {
  const fields = knownFields(config, known, {});
  const { options, tables } = readPrompt(type, fields);
  return { main: promptPart(type, options, tables, fields, spec), fields };
}

function promptPart(
  type: string,
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
