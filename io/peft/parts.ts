/** Converts an adapter to the parts of a PEFT folder, and the config fields that name its layers. */
import {
  type Adapter,
  type ComponentMethod,
  componentMethods,
  FROZEN,
  leaves,
  type MethodConfig,
  type Model,
  needsChangedBase,
  type Spec,
  type TargetOptions,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { plainName } from "../../core/options/mod.ts";
import { CODECS, FORMS } from "../../methods/index.ts";
import type { AnyPeftCodec, MainPart, PeftFields, WrittenPart } from "../../methods/peft/codec.ts";
import type { PeftForm } from "../../methods/peft/form.ts";
import { mainPart } from "../../methods/peft/layer_part.ts";
import { placesIn } from "../../methods/peft/layers.ts";
import { placesInPeft } from "../../methods/peft/places.ts";
import { fieldsOfLayers } from "../../methods/peft/targets.ts";
import {
  BIASES,
  FIXED,
  ROWS,
  SAVED,
  type SavedLeaf,
  type SavedModules,
  type TrainedRows,
} from "../../methods/peft_beside.ts";
import type { FolderParts } from "./folder_parts.ts";
import { looseBiases, type PartNames, PARTS } from "./layout.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** The representation of an adapter in a folder. */
export interface AdapterParts {
  readonly parts: FolderParts;
  readonly names: PartNames;
  /** `target_modules` and related fields. */
  readonly targets: PeftFields;
}

/**
 * Splits an adapter into parts.
 *
 * @throws {TypeError} when PEFT folders cannot contain one of its methods, or two of the same kind.
 * @throws {RangeError} when its parameters do not fit the model.
 */
export function partsOfAdapter(adapter: Adapter, model: Model): AdapterParts {
  let parts: FolderParts = {};
  let names: PartNames = PARTS;
  let targets: PeftFields = {};
  const pieces = componentMethods(adapter.method, adapter.params);
  const main = pieces.find((piece) => kindOf(piece) === "main");
  const mainFields = main && mainOf(main, model, adapter);
  const saves = pieces.find((piece) =>
    kindOf(piece) === "saved" && piece.of.definition !== BIASES.definition
  );
  const saved = saves ? SAVED.leaves(model, savedOf(saves)) : [];
  for (const piece of pieces) {
    const biases = mainFields && biasesOf(piece, mainFields.main, model.spec, saved);
    const part = biases ? "biases" : kindOf(piece);
    if (parts[part] !== undefined) {
      throw typeError(
        "CANNOT_SAVE",
        `Cannot save "${adapter.method.name}" for PEFT: a folder holds one ${part} part, not two`,
      );
    }
    names = { ...names, [part]: piece.prefix };
    switch (part) {
      case "main":
        ({ targets } = mainFields!);
        parts = { ...parts, main: mainFields!.main };
        break;
      case "biases":
        parts = { ...parts, biases: biases! };
        break;
      case "saved":
        parts = { ...parts, saved: savedOf(piece) };
        break;
      case "tokens":
        parts = { ...parts, tokens: piece.options as MethodConfig & TrainedRows };
        break;
      case "fixed":
        parts = { ...parts, fixed: piece.options["parameters"] as readonly string[] };
        break;
    }
  }
  return { parts, names, targets };
}

/** Which of the base's biases a component trains, where the main method has an option for exactly these. */
function biasesOf(
  { of, params }: ComponentMethod,
  main: MainPart,
  spec: Spec,
  saved: readonly SavedLeaf[],
): FolderParts["biases"] {
  if (of.definition !== BIASES.definition || main.biases === undefined) return undefined;
  const found = leaves(params).map(([path]) => path).sort().join();
  return (["adapted", "all"] as const).find((which) =>
    looseBiases(main.places, which, spec, saved).map(({ path }) => path).sort().join() === found
  );
}

function kindOf(piece: ComponentMethod): Exclude<keyof PartNames, "biases"> {
  const { of } = piece;
  if (codecOf(piece) !== undefined) return "main";
  if (needsChangedBase(of)) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save "${of.name}" as a PEFT folder: its adapter is right on the changed base alone; save what onOriginal ` +
        "makes of it, LoRA of the original base with twice the rank, or merge it",
    );
  }
  if (formOf(piece) !== undefined) return "main";
  const { definition } = of;
  if (definition?.wholeModules) return "saved";
  if (definition === ROWS.method.definition) return "tokens";
  if (definition === FIXED.definition) return "fixed";
  const held = [
    ...CODECS.map(nameOf),
    ...FORMS.filter(({ refused }) => !refused).flatMap(({ methods }) => methods.map(({ name }) => name)),
    SAVED.method.definition.name,
    ROWS.method.definition.name,
  ];
  throw typeError(
    "CANNOT_SAVE",
    `Cannot save "${of.name}" as a PEFT folder: it holds ${[...new Set(held)].sort().join(", ")}; ` +
      "merge the adapter and save the model instead",
  );
}

/** The codec of a method, by its name. */
const codecOf = ({ method }: ComponentMethod): AnyPeftCodec | undefined =>
  CODECS.find((codec) => plainName(nameOf(codec)) === plainName(method));

const nameOf = ({ method }: AnyPeftCodec): string => method.definition?.name ?? method.name;

/** The form of a method that stands elsewhere than at layers. */
const formOf = ({ of }: ComponentMethod): PeftForm | undefined =>
  FORMS.find(({ methods }) => methods.some((one) => one === of.definition));

function mainOf(piece: ComponentMethod, model: Model, adapter: Adapter): WrittenPart {
  const { spec } = model;
  const { method, options, params } = piece;
  const codec = codecOf(piece);
  if (codec === undefined) return formOf(piece)!.write(piece, model);
  const adapted = codec.adapted?.(adapter, params, options, spec) ?? placesIn(params, spec);
  const places = placesInPeft(adapted, model);
  if (places.length === 0) {
    throw rangeError("CANNOT_SAVE", `Cannot save ${method}: none of its parameters stands at a layer`);
  }
  // PEFT decides layer by layer and the last one stays in the config; it uses the field only as a hint.
  const last = places.findLast((place) => place.kind !== "embedding");
  const fields = fieldsOfLayers(
    targetsFor(codec, options),
    places,
    spec,
    Object.hasOwn(codec.fields, "layers_to_transform"),
  );
  const all = {
    ...codec.layerFields?.(fields, places, options) ?? fields,
    fan_in_fan_out: last?.kind === "linear" && last.transposed,
  };
  const targets = Object.fromEntries(
    Object.entries(all).filter(([name]) => name === "target_modules" || Object.hasOwn(codec.fields, name)),
  );
  const main = mainPart(codec, options, places, spec);
  codec.check?.(places, options, targets);
  return { main, targets };
}

/** A config without `exclude_modules` must name the remaining layers. */
function targetsFor(codec: AnyPeftCodec, options: TargetOptions): TargetOptions {
  if (Object.hasOwn(codec.fields, "exclude_modules")) return options;
  const { exclude: _, ...rest } = options;
  return rest;
}

function savedOf({ of, options, params }: ComponentMethod): SavedModules {
  if (of.definition === SAVED.method.definition) return options as MethodConfig & SavedModules;
  const modules = leaves(params as Readonly<Record<string, Tensor | Tree>>)
    .map(([path]) => path.slice(0, path.lastIndexOf(".")));
  return { modules: [...new Set(modules)] };
}

/** The trained leaves that are in no tensor of the folder. */
export function leftOver(params: Tree, taken: readonly string[]): readonly string[] {
  const known = new Set(taken);
  return leaves(params).map(([path]) => path).filter((path) =>
    !known.has(path) && !path.split(".").includes(FROZEN)
  );
}
