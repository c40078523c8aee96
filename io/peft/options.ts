/**
 * Converts an `adapter_config.json` to the parts of an adapter: methods with options, in terms of a model's
 * places.
 */
import type { Model } from "../../core/mod.ts";
import { knownFields, otherVersion, type PeftConfig } from "../../formats/peft_config.ts";
import { ia3Defaults } from "../../formats/peft_defaults.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { CODECS } from "../../methods/index.ts";
import type { AnyPeftCodec } from "../../methods/peft/codec.ts";
import { ia3Peft } from "../../methods/rescaling/ia3_peft.ts";
import { LAYER_NORM_FIELDS } from "../../methods/selective/layer_norm_tune_peft.ts";
import { LLAMA_ADAPTER_FIELDS } from "../../methods/soft_prompts/llama_adapter_peft.ts";
import { withExtras } from "./extras.ts";
import type { FolderParts } from "./folder_parts.ts";
import { llamaAdapterOfConfig } from "./llama_adapter.ts";
import { loraParts } from "../../methods/low_rank/lora_peft_config.ts";
import { ia3Main, matrixParts } from "./matrix_options.ts";
import { normsOfConfig } from "./norms.ts";
import { promptsOfConfig } from "./prompts.ts";
import { standaloneTokens } from "../../methods/selective/trainable_tokens_peft.ts";
import { type Experts, xloraOfConfig } from "../../methods/side_networks/xlora_peft.ts";

/**
 * A config corrected by the folder's tensors: without its CUDA kernel PEFT uses one factor of BOFT regardless
 * of the requested number, in training and on loading, but records the requested number.
 */
export function asStored(config: PeftConfig, tensors: Iterable<StoredTensor>): PeftConfig {
  if (config.type !== "BOFT") return config;
  const rotations = [...tensors].filter(({ name }) => name.endsWith(".boft_R"));
  const one = rotations.length > 0 && rotations.every(({ shape }) => shape[0] === 1);
  return one ? { ...config, fields: { ...config.fields, boft_n_butterfly_factor: 1 } } : config;
}

/**
 * The parts that a config describes.
 *
 * @param experts The experts that X-LoRA mixes.
 * @throws {RangeError} when the method or a feature is not supported, or a name or pattern matches nothing.
 */
export function partsOfConfig(config: PeftConfig, model: Model, experts: Experts = {}): FolderParts {
  switch (config.type) {
    case "XLORA":
      return xloraOfConfig(config, experts, model);
    case "LORA":
      return loraParts(codecFor(config)!, config, model);
    case "IA3": {
      const fields = knownFields(config, ia3Peft.fields, ia3Peft.refused);
      const standard = (): readonly string[] => ia3Defaults(model.config.model_type).targets;
      return withExtras(ia3Main(fields, standard, model), fields, model);
    }
    case "PROMPT_TUNING":
    case "P_TUNING":
    case "PREFIX_TUNING":
    case "MULTITASK_PROMPT_TUNING":
    case "CPT": {
      const { main, fields } = promptsOfConfig(config.type, config, model);
      return withExtras(main, fields, model);
    }
    case "ADAPTION_PROMPT": {
      const fields = knownFields(config, LLAMA_ADAPTER_FIELDS, {});
      return withExtras(llamaAdapterOfConfig(fields, model), fields, model);
    }
    case "LN_TUNING": {
      const fields = knownFields(config, LAYER_NORM_FIELDS, {});
      return withExtras(normsOfConfig(fields, model), fields, model);
    }
    case "TRAINABLE_TOKENS": {
      const fields = knownFields(config, { token_indices: [], init_weights: true }, {});
      return { tokens: standaloneTokens(fields, model.spec) };
    }
    case "PSOFT":
      throw new RangeError(
        "Cannot load a PEFT adapter of type PSOFT: what it turns are singular vectors, whose signs LAPACK chose where it was trained " +
          "and its folder does not hold; merge it in PEFT there, and load the model",
      );
    default: {
      const codec = codecFor(config);
      if (codec !== undefined) return matrixParts(codec, config, model, codec.standard?.(model));
      throw new RangeError(
        `Cannot load a PEFT adapter of type ${config.type}: known are ${[...knownTypes()].join(", ")}${
          otherVersion(config.fields)
        }`,
      );
    }
  }
}

/** The codec of a config. */
function codecFor({ type, fields }: PeftConfig): AnyPeftCodec | undefined {
  return CODECS.find((codec) => codec.type === type && (codec.accepts?.(fields) ?? true));
}

/** The types that can be read. */
const knownTypes = (): ReadonlySet<string> =>
  new Set([...CODECS.map(({ type }) => type), ...OTHER_TYPES].sort());

/** Types whose targets are not layers with matrices. */
const OTHER_TYPES: readonly string[] = [
  "ADAPTION_PROMPT",
  "CPT",
  "LN_TUNING",
  "MULTITASK_PROMPT_TUNING",
  "P_TUNING",
  "PREFIX_TUNING",
  "PROMPT_TUNING",
  "TRAINABLE_TOKENS",
  "XLORA",
];
