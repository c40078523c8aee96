/**
 * LoRA in PEFT configs: the change of the base by its initialization, parameters by name, tables tied
 * together.
 */
import { chooseTargets, type MatrixPlace, type Model, type Spec } from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import type { PeftCodec, PeftFields, ReadPart } from "../peft/codec.ts";
import { mainPart } from "../peft/layer_part.ts";
import { savedModules } from "../peft/modules.ts";
import { resolvedPatterns, withOurPatterns } from "../peft/patterns.ts";
import { matrixPlaces, placesInPeft, tiedPairs } from "../peft/places.ts";
import { layersOfFields } from "../peft/targets.ts";
import { savedLeaves } from "../selective/modules_to_save.ts";
import { changedBase } from "./changed_base.ts";
import { startOf } from "./changed_start.ts";
import type { LoraOptions } from "./lora.ts";
import { parameterPlaces, parameterTensors, withParameterRanks } from "./lora_parameters_peft.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * LoRA, the change of the base by its initialization, and separate biases where a saved module has some of
 * them.
 */
export function loraPart(codec: PeftCodec<LoraOptions>, config: PeftConfig, model: Model): ReadPart {
  const start = startOf(config.fields);
  const given = knownFields(config, codec.fields, codec.refused);
  const fields = start === undefined ? given : { ...given, init_lora_weights: true };
  const apart = fields["bias"] === "all" && savesBiases(fields, model);
  const parameters = parameterPlaces(fields, model.spec);
  const { options, places: all } = loraLayers(fields, parameters, model.spec);
  const places = placesInPeft(all, model);
  const read = codec.read(withOurPatterns(apart ? { ...fields, bias: "none" } : fields));
  const asked = { ...resolvedPatterns(withParameterRanks(read, parameters), places), ...options };
  if (start !== undefined && parameters.length > 0) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load an adapter with init_lora_weights ${
        JSON.stringify(config.fields["init_lora_weights"])
      } and target_parameters: name the layers in target_modules, or merge it ` +
        "in PEFT",
    );
  }
  const begun = start === undefined ? { options: asked } : changedBase(codec, start, asked, places, model);
  const whole = mainPart(codec, begun.options, places, model.spec);
  const main = {
    ...whole,
    tensors: parameterTensors(whole.tensors, parameters),
    ..."changed" in begun && { changed: begun.changed },
  };
  return { main, fields };
}

/** The layers of `target_modules` and those of `target_parameters`. */
function loraLayers(
  fields: PeftFields,
  parameters: readonly MatrixPlace[],
  spec: Spec,
): ReturnType<typeof layersOfFields> {
  const standard = (): readonly string[] => chooseTargets(spec, {}).map((place) => place.path);
  const targets = fields["target_modules"];
  const none = Array.isArray(targets) && targets.length === 0;
  const given = parameters.length > 0 && none
    ? undefined
    : withTied(layersOfFields(fields, standard, spec), fields, spec);
  if (given === undefined) {
    return { options: { targets: parameters.map(({ path }) => path) }, places: parameters };
  }
  const twice = parameters.find((place) => given.places.includes(place));
  if (twice !== undefined) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this LORA adapter: "${twice.path}" is meant by target_modules and by target_parameters, which PEFT cannot have`,
    );
  }
  if (parameters.length === 0) return given;
  const places = matrixPlaces(spec).filter((place) =>
    parameters.includes(place) || given.places.includes(place)
  );
  return { options: { targets: places.map(({ path }) => path) }, places };
}

/** With `ensure_weight_tying` PEFT adapts an embedding and the head tied to it together, whichever is named. */
function withTied(
  layers: ReturnType<typeof layersOfFields>,
  fields: PeftFields,
  spec: Spec,
): ReturnType<typeof layersOfFields> {
  if (fields["ensure_weight_tying"] !== true) return layers;
  const chosen = new Set(layers.places.map(({ path }) => path));
  const pairs = tiedPairs(spec).filter((pair) => pair.some((path) => chosen.has(path))).flat();
  if (pairs.every((path) => chosen.has(path))) return layers;
  const places = matrixPlaces(spec).filter(({ path }) => chosen.has(path) || pairs.includes(path));
  return { options: { targets: places.map(({ path }) => path) }, places };
}

/** Whether a saved module has a bias. */
function savesBiases(fields: PeftFields, model: Model): boolean {
  const modules = savedModules(fields, model);
  return modules !== undefined && savedLeaves(model, { modules }).some(({ path }) => path.endsWith(".bias"));
}
