/**
 * Converts an `adapter_config.json` to the parts of an adapter: methods with options, in terms of a model's
 * places.
 */
import type { Model, Place, TargetOptions } from "../../core/mod.ts";
import { knownFields, otherVersion, type PeftConfig } from "../../formats/peft_config.ts";
import { ia3Defaults } from "../../formats/peft_defaults.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { adaloraPeft } from "../../methods/low_rank/adalora_peft.ts";
import { beftPeft } from "../../methods/selective/beft_peft.ts";
import { boftPeft } from "../../methods/structured/boft_peft.ts";
import { c3aPeft } from "../../methods/structured/c3a_peft.ts";
import { deftPeft } from "../../methods/structured/deft_peft.ts";
import { deloraPeft } from "../../methods/low_rank/delora_peft.ts";
import { doraPeft } from "../../methods/low_rank/dora_peft.ts";
import { fourierftPeft } from "../../methods/structured/fourierft_peft.ts";
import { gloraPeft } from "../../methods/low_rank/glora_peft.ts";
import { graloraPeft } from "../../methods/structured/gralora_peft.ts";
import { hiraPeft } from "../../methods/structured/hira_peft.ts";
import { hraPeft } from "../../methods/structured/hra_peft.ts";
import { ia3Peft } from "../../methods/rescaling/ia3_peft.ts";
import { LAYER_NORM_FIELDS } from "../../methods/selective/layer_norm_tune_peft.ts";
import { lilyPeft } from "../../methods/low_rank/lily_peft.ts";
import { LLAMA_ADAPTER_FIELDS } from "../../methods/soft_prompts/llama_adapter_peft.ts";
import { lohaPeft } from "../../methods/structured/loha_peft.ts";
import { lokrPeft } from "../../methods/structured/lokr_peft.ts";
import { loraPeft } from "../../methods/low_rank/lora_peft.ts";
import { missPeft } from "../../methods/structured/miss_peft.ts";
import { oftPeft } from "../../methods/structured/oft_peft.ts";
import { osfPeft } from "../../methods/structured/osf_peft.ts";
import { peanutPeft } from "../../methods/structured/peanut_peft.ts";
import { polyPeft } from "../../methods/low_rank/poly_peft.ts";
import { pveraPeft } from "../../methods/low_rank/pvera_peft.ts";
import { randloraPeft } from "../../methods/low_rank/randlora_peft.ts";
import { roadPeft } from "../../methods/structured/road_peft.ts";
import { shiraPeft } from "../../methods/structured/shira_peft.ts";
import { tinyLoraPeft } from "../../methods/low_rank/tiny_lora_peft.ts";
import { uniLoraPeft } from "../../methods/low_rank/uni_lora_peft.ts";
import { vbLoraPeft } from "../../methods/low_rank/vb_lora_peft.ts";
import { veraPeft } from "../../methods/low_rank/vera_peft.ts";
import { waveftPeft } from "../../methods/structured/waveft_peft.ts";
import { withExtras } from "./extras.ts";
import type { FolderParts } from "./folder_parts.ts";
import { llamaAdapterOfConfig } from "./llama_adapter.ts";
import { loraParts } from "./lora_options.ts";
import { ia3Main, matrixParts } from "./matrix_options.ts";
import { normsOfConfig } from "./norms.ts";
import { startsOfOsf } from "./osf.ts";
import { promptsOfConfig } from "./prompts.ts";
import { standaloneTokens } from "./tokens.ts";
import { type Experts, xloraOfConfig } from "./xlora.ts";

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
      return loraParts(config.fields["use_dora"] === true ? doraPeft : loraPeft, config, model);
    case "ADALORA":
      return matrixParts(adaloraPeft, config, model);
    case "LOHA":
      return matrixParts(lohaPeft, config, model);
    case "LOKR":
      return matrixParts(lokrPeft, config, model);
    case "LILY":
      return matrixParts(lilyPeft, config, model);
    case "VERA":
      return matrixParts(veraPeft, config, model);
    case "POLY":
      return matrixParts(polyPeft, config, model);
    case "GLORA":
      return matrixParts(gloraPeft, config, model);
    case "OSF": {
      const { main, ...others } = matrixParts(osfPeft, config, model);
      const options = osfPeft.read(knownFields(config, osfPeft.fields, osfPeft.refused));
      return { ...others, main: { ...main!, frozen: (model) => startsOfOsf(model, main!.places, options) } };
    }
    case "HRA":
      return matrixParts(hraPeft, config, model);
    case "MISS":
      return matrixParts(missPeft, config, model);
    case "OFT":
      return matrixParts(oftPeft, config, model);
    case "BOFT":
      return matrixParts(boftPeft, config, model);
    case "C3A":
      return matrixParts(c3aPeft, config, model);
    case "TINYLORA":
      return matrixParts(tinyLoraPeft, config, model);
    case "PVERA":
      return matrixParts(pveraPeft, config, model);
    case "UNILORA":
      return matrixParts(uniLoraPeft, config, model);
    case "VBLORA":
      return matrixParts(vbLoraPeft, config, model, bankTargets(model));
    case "RANDLORA":
      return matrixParts(randloraPeft, config, model);
    case "FOURIERFT":
      return matrixParts(fourierftPeft, config, model, transformedLayers(model));
    case "BEFT":
      return matrixParts(beftPeft, config, model, { targets: isValue });
    case "DEFT":
      return matrixParts(deftPeft, config, model);
    case "PEANUT":
      return matrixParts(peanutPeft, config, model);
    case "ROAD":
      return matrixParts(roadPeft, config, model);
    case "DELORA":
      return matrixParts(deloraPeft, config, model);
    case "HIRA":
      return matrixParts(hiraPeft, config, model);
    case "SHIRA":
      return matrixParts(shiraPeft, config, model);
    case "GRALORA":
      return matrixParts(graloraPeft, config, model);
    case "WAVEFT":
      return matrixParts(waveftPeft, config, model, transformedLayers(model));
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
    default:
      throw new RangeError(
        `Cannot load a PEFT adapter of type ${config.type}: known are LORA, ADALORA, LOHA, LOKR, VERA, PVERA, LILY, POLY, GLORA, OSF, HRA, ` +
          "MISS, OFT, BOFT, C3A, TINYLORA, UNILORA, VBLORA, RANDLORA, FOURIERFT, WAVEFT, DEFT, PEANUT, BEFT, ROAD, DELORA, HIRA, SHIRA, GRALORA, " +
          "IA3, LN_TUNING, PROMPT_TUNING, MULTITASK_PROMPT_TUNING, CPT, P_TUNING, PREFIX_TUNING, ADAPTION_PROMPT, XLORA and " +
          "TRAINABLE_TOKENS" +
          otherVersion(config.fields),
      );
  }
}

const isValue = (place: Place): boolean => place.kind === "linear" && place.role === "value";
/** The layers of FourierFT and WaveFT without `target_modules`. */
const transformedLayers = (model: Model): TargetOptions =>
  model.config.model_type === "gpt2" ? { targets: ["mlp.c_proj"] } : {};

/** The layers that VB-LoRA adapts by default: for T5 all of them. */
const bankTargets = ({ config }: Model): TargetOptions =>
  ["t5", "mt5"].includes(String(config.model_type)) ? { targets: "all-linear" } : {};
