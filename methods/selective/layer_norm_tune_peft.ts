/** Layer-norm tuning in PEFT folders: `ln_tuning_layers.weight` [d], and `.bias` [d] where the norm has one, below its path. */
import { type ComponentMethod, lookup, type Model, type Spec } from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import { chosenPaths, type PeftTargets, peftTargets, shortNames } from "../../formats/peft_targets.ts";
import type { MainPart, PeftFields, PeftTensor, ReadPart, WrittenPart } from "../peft/codec.ts";
import type { PeftForm } from "../peft/form.ts";
import { matrixPlaces } from "../peft/places.ts";
import { chosenNorms, layerNormTune, type LayerNormTuneOptions } from "./layer_norm_tune.ts";
import { rangeError } from "../../errors/error.ts";

/** Fields of `peft_type` "LN_TUNING", with PEFT's defaults. */
export const LAYER_NORM_FIELDS: PeftFields = { exclude_modules: null, modules_to_save: null };

/**
 * The tensors of a folder.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { layerNormTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [tensor] = layerNormTensors(spec, { norms: ["model.norm"] });
 * assert.equal(tensor!.key, "model.norm.ln_tuning_layers.weight");
 * ```
 */
export function layerNormTensors(spec: Spec, options: LayerNormTuneOptions): readonly PeftTensor[] {
  return chosenNorms(spec, options).flatMap(({ path, width, bias }) =>
    (bias ? ["weight", "bias"] : ["weight"]).map((name) => ({
      path: `${path}.${name}`,
      key: `${path}.ln_tuning_layers.${name}`,
      shape: [width],
    }))
  );
}

/**
 * The norms that a null `target_modules` means.
 *
 * @throws {RangeError} when we know of no such list in PEFT.
 * @example
 * ```ts
 * import { layerNormDefaults } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.deepEqual(layerNormDefaults("gpt2"), ["ln_1", "ln_2", "ln_f"]);
 * ```
 */
export function layerNormDefaults(modelType: string): readonly string[] {
  switch (modelType) {
    case "llama":
    case "mistral":
    case "gemma":
      return ["input_layernorm", "post_attention_layernorm", "norm"];
    case "qwen2":
    case "qwen3":
      return ["post_attention_layernorm"];
    case "gemma3_text":
      return [
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
        "norm",
      ];
    case "gpt2":
      return ["ln_1", "ln_2", "ln_f"];
    case "t5":
    case "mt5":
      return ["layer_norm", "final_layer_norm"];
    default:
      throw rangeError(
        "ADAPTER_UNSUPPORTED",
        `Cannot tell which norms the LN_TUNING config adapts: target_modules is null and PEFT's default for "${modelType}" ` +
          "is not known",
      );
  }
}

/** Folders of `peft_type` "LN_TUNING": their targets are norms, not layers with matrices. */
export const layerNormPeft: PeftForm = {
  types: ["LN_TUNING"],
  methods: [layerNormTune.definition],
  read,
  write,
};

/**
 * The norms that a config's fields choose.
 *
 * @throws {RangeError} when they choose none, or a module that is not a norm (PEFT would train a copy of it).
 */
function read(config: PeftConfig, model: Model): ReadPart {
  const { spec } = model;
  const fields = knownFields(config, LAYER_NORM_FIELDS, {});
  const targets = peftTargets(fields, {
    standard: () => layerNormDefaults(model.config.model_type),
    linear: () => spec.linears.map((place) => place.path),
  });
  const others = chosenPaths(targets, [...matrixPlaces(spec), ...spec.attentions].map((place) => place.path));
  if (others.length > 0) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this LN_TUNING adapter: its targets match "${
        others[0]
      }", which is no norm; only norms are supported`,
    );
  }
  const wanted = chosenPaths(targets, normPaths(spec));
  if (wanted.length === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `The adapter's targets match no norm: target_modules is ${JSON.stringify(targets.target_modules)}`,
    );
  }
  const names = targets.target_modules;
  const natural = typeof names !== "string" && targets.exclude_modules === null &&
    names.every((name) => wanted.some((path) => path === name || path.endsWith(`.${name}`)));
  return { main: normPart(spec, { norms: natural ? names : wanted }), fields };
}

/** The part of a folder, and its targets, for the norms that have parameters. */
function write({ method, options, params }: ComponentMethod, { spec }: Model): WrittenPart {
  const wanted = normPaths(spec).filter((path) => lookup(params, path) !== undefined);
  if (wanted.length === 0) {
    throw rangeError("CANNOT_SAVE", `Cannot save ${method}: none of its parameters stands at a norm`);
  }
  const { norms } = options;
  const given = Array.isArray(norms) ? norms as readonly string[] : [];
  const all = [...normPaths(spec), ...matrixPlaces(spec).map((place) => place.path)];
  const plain: PeftTargets = {
    target_modules: given,
    exclude_modules: null,
    modules_to_save: null,
    layers_to_transform: null,
    layers_pattern: null,
  };
  const same = chosenPaths(plain, all).join() === wanted.join();
  return {
    main: normPart(spec, { norms: wanted }),
    targets: { target_modules: same ? given : shortNames(wanted, all) },
  };
}

function normPart(spec: Spec, options: LayerNormTuneOptions): MainPart {
  return {
    type: "LN_TUNING",
    method: layerNormTune(options),
    places: [],
    tensors: layerNormTensors(spec, options),
    fields: LAYER_NORM_FIELDS,
  };
}

const normPaths = (spec: Spec): readonly string[] => spec.norms.map((place) => place.path);
