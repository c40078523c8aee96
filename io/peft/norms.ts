/** Layer-norm tuning between PEFT folders and methods: its targets are norms, not layers with matrices. */
import { lookup, type MethodConfig, type Model, type Spec, type Tree } from "../../core/mod.ts";
import { chosenPaths, type PeftTargets, peftTargets, shortNames } from "../../formats/peft_targets.ts";
import { layerNormTune, type LayerNormTuneOptions } from "../../methods/selective/layer_norm_tune.ts";
import {
  LAYER_NORM_FIELDS,
  layerNormDefaults,
  layerNormTensors,
} from "../../methods/selective/layer_norm_tune_peft.ts";
import type { PeftFields } from "../../methods/peft/codec.ts";
import type { MainPart } from "./folder_parts.ts";
import { matrixPlaces } from "./layout.ts";

/**
 * The norms that a config's fields choose.
 *
 * @throws {RangeError} when they choose none, or a module that is not a norm (PEFT would train a copy of it).
 */
export function normsOfConfig(fields: PeftFields, model: Model): MainPart {
  const { spec } = model;
  const targets = peftTargets(fields, {
    standard: () => layerNormDefaults(model.config.model_type),
    linear: () => spec.linears.map((place) => place.path),
  });
  const others = chosenPaths(targets, [...matrixPlaces(spec), ...spec.attentions].map((place) => place.path));
  if (others.length > 0) {
    throw new RangeError(
      `Cannot load this LN_TUNING adapter: its targets match "${
        others[0]
      }", which is no norm; only norms are supported`,
    );
  }
  const wanted = chosenPaths(targets, normPaths(spec));
  if (wanted.length === 0) {
    throw new RangeError(
      `The adapter's targets match no norm: target_modules is ${JSON.stringify(targets.target_modules)}`,
    );
  }
  const names = targets.target_modules;
  const natural = typeof names !== "string" && targets.exclude_modules === null &&
    names.every((name) => wanted.some((path) => path === name || path.endsWith(`.${name}`)));
  return normPart(spec, { norms: natural ? names : wanted });
}

/** The part of a folder, and its targets, for the norms that have parameters. */
export function normsOfParams(
  options: MethodConfig,
  params: Tree,
  spec: Spec,
): { readonly main: MainPart; readonly targets: PeftFields } {
  const wanted = normPaths(spec).filter((path) => lookup(params, path) !== undefined);
  if (wanted.length === 0) {
    throw new RangeError("Cannot save layerNormTune: none of its parameters stands at a norm");
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
