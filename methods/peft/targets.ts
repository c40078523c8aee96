/** The layers of a model chosen by a PEFT config, and names or patterns of a config for given layers. */
import {
  chooseTargets,
  freshTargets,
  type MatrixPlace,
  type Spec,
  type TargetOptions,
} from "../../core/mod.ts";
import {
  chosenPaths,
  type PeftTargets,
  peftTargets,
  pythonPattern,
  pythonSource,
  shortNames,
} from "../../formats/peft_targets.ts";
import type { PeftFields } from "./main_part.ts";
import { matrixPlaces } from "./places.ts";
import { rangeError } from "../../errors/error.ts";

/** The layers, and our target options that choose the same ones. */
export function layersOfFields(
  fields: PeftFields,
  standard: () => readonly string[],
  spec: Spec,
): { readonly options: TargetOptions; readonly places: readonly MatrixPlace[] } {
  const all = matrixPlaces(spec);
  const targets = peftTargets(fields, {
    standard,
    linear: () => spec.linears.map((place) => place.path),
  });
  const wanted = new Set(chosenPaths(targets, all.map((place) => place.path)));
  const natural = naturalOptions(fields, targets);
  const chosen = chooseTargets(spec, {
    targets: natural.targets ?? targets.target_modules as readonly string[],
  });
  if (wanted.size === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `The adapter's targets match no layer: ${chosen.length} match target_modules ${
        JSON.stringify(targets.target_modules)
      }, and none is left after exclude_modules, layers_to_transform and modules_to_save`,
    );
  }
  const places = all.filter((place) => wanted.has(place.path));
  return { options: agrees(spec, natural, wanted) ? natural : { targets: [...wanted] }, places };
}

function naturalOptions(fields: PeftFields, targets: PeftTargets): TargetOptions {
  const given = targets.target_modules;
  const everything = typeof fields["target_modules"] === "string" &&
    fields["target_modules"].toLowerCase() === "all-linear";
  return {
    targets: everything ? "all-linear" : typeof given === "string" ? pythonPattern(given) : given,
    ...targets.exclude_modules !== null && {
      exclude: typeof targets.exclude_modules === "string"
        ? pythonPattern(targets.exclude_modules)
        : targets.exclude_modules,
    },
    ...targets.layers_to_transform !== null && targets.layers_to_transform.length > 0 &&
      { layers: targets.layers_to_transform },
  };
}

function agrees(spec: Spec, options: TargetOptions, wanted: ReadonlySet<string>): boolean {
  try {
    const chosen = freshTargets(spec, options);
    return chosen.length === wanted.size && chosen.every((place) => wanted.has(place.path));
  } catch (error) {
    if (error instanceof RangeError) return false; // chooses nothing, or is invalid in a new adapter's options
    throw error;
  }
}

/** The options as PEFT's fields when those choose the same layers, else the layers by name. */
export function fieldsOfLayers(
  options: TargetOptions,
  places: readonly MatrixPlace[],
  spec: Spec,
  layered: boolean,
): PeftFields {
  const all = matrixPlaces(spec).map((place) => place.path);
  const wanted = places.map((place) => place.path);
  const names = shortNames(wanted, all);
  const { targets, exclude, layers } = options;
  const natural: PeftTargets = {
    target_modules: targets instanceof RegExp
      ? pythonSource(targets)
      : Array.isArray(targets)
      ? targets as readonly string[]
      : shortNames(chooseTargets(spec, { ...targets && { targets } }).map((place) => place.path), all),
    exclude_modules: exclude instanceof RegExp ? pythonSource(exclude) : exclude ?? null,
    layers_to_transform: layers ?? null,
    layers_pattern: null,
    modules_to_save: null,
  };
  const expressible = layers === undefined || (layered && typeof natural.target_modules !== "string");
  const same = expressible && chosenPaths(natural, all).join() === wanted.join();
  const { target_modules, exclude_modules, layers_to_transform } = same
    ? natural
    : { target_modules: names, exclude_modules: null, layers_to_transform: null };
  return { target_modules, exclude_modules, ...layered && { layers_to_transform } };
}
