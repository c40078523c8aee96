/** Converts an adapter to the parts of a PEFT folder, and the config fields that name its layers. */
import {
  type Adapter,
  FROZEN,
  leaves,
  type Method,
  type MethodConfig,
  type Model,
  type Spec,
  type TargetOptions,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import type { FixedWeightsOptions } from "../../methods/selective/fixed_weights.ts";
import { type Ia3Options, scalesInput } from "../../methods/rescaling/ia3.ts";
import { needsChangedBase } from "../../methods/low_rank/prepared.ts";
import { CODECS } from "../../methods/index.ts";
import { placesIn } from "../../methods/peft/layers.ts";
import { ia3Peft } from "../../methods/rescaling/ia3_peft.ts";
import type { LlamaAdapterOptions } from "../../methods/soft_prompts/llama_adapter.ts";
import {
  type ModulesToSaveOptions,
  type SavedLeaf,
  savedLeaves,
} from "../../methods/selective/modules_to_save.ts";
import { plainName } from "../../core/options/mod.ts";
import type { AnyPeftCodec, PeftFields } from "../../methods/peft/codec.ts";
import type { TrainableTokensOptions } from "../../methods/selective/trainable_tokens.ts";
import { type ComponentMethod, componentMethods } from "../../core/combinators/component_methods.ts";
import type { FolderParts, MainPart } from "./folder_parts.ts";
import { looseBiases, mainPart, type PartNames, PARTS, placesInPeft } from "./layout.ts";
import { llamaAdapterOfOptions } from "./llama_adapter.ts";
import { normsOfParams } from "./norms.ts";
import { promptsOfOptions } from "./prompts.ts";
import { fieldsOfLayers, withFeedForward } from "../../methods/peft/targets.ts";
import { xloraOfOptions } from "../../methods/side_networks/xlora_peft.ts";

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
  const main = pieces.find(({ of, method }) => kindOf(method, of) === "main");
  const mainFields = main && mainOf(main, model, adapter);
  const saves = pieces.find(({ of, method }) => kindOf(method, of) === "saved" && method !== "only");
  const saved = saves ? savedLeaves(model, savedOf(saves)) : [];
  for (const piece of pieces) {
    const biases = mainFields && biasesOf(piece, mainFields.main, model.spec, saved);
    const part = biases ? "biases" : kindOf(piece.method, piece.of);
    if (parts[part] !== undefined) {
      throw new TypeError(
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
        parts = { ...parts, tokens: piece.options as MethodConfig & TrainableTokensOptions };
        break;
      case "fixed":
        parts = { ...parts, fixed: (piece.options as MethodConfig & FixedWeightsOptions).parameters };
        break;
    }
  }
  return { parts, names, targets };
}

/** Which of the base's biases a component trains, where the main method has an option for exactly these. */
function biasesOf(
  { method, params }: ComponentMethod,
  main: MainPart,
  spec: Spec,
  saved: readonly SavedLeaf[],
): FolderParts["biases"] {
  if (method !== "only" || main.biases === undefined) return undefined;
  const found = leaves(params).map(([path]) => path).sort().join();
  return (["adapted", "all"] as const).find((which) =>
    looseBiases(main.places, which, spec, saved).map(({ path }) => path).sort().join() === found
  );
}

function kindOf(method: string, of: Method): Exclude<keyof PartNames, "biases"> {
  if (codecOf(method) !== undefined) return "main";
  if (needsChangedBase(of)) {
    throw new TypeError(
      `Cannot save "${of.name}" as a PEFT folder: its adapter is right on the changed base alone; save what onOriginal ` +
        "makes of it, LoRA of the original base with twice the rank, or merge it",
    );
  }
  switch (method) {
    case "layerNormTune":
    case "promptTuning":
    case "spot":
    case "prefixTuning":
    case "multitaskPromptTuning":
    case "contextPromptTuning":
    case "llamaAdapter":
    case "xlora":
      return "main";
    case "psoft":
      throw new TypeError(
        'Cannot save "psoft" as a PEFT folder: PEFT finds its subspaces anew, with signs of its own; take our form, or toLora',
      );
    case "modulesToSave":
    case "only":
    case "classifier":
      return "saved";
    case "trainableTokens":
      return "tokens";
    case "fixedWeights":
      return "fixed";
    default:
      throw new TypeError(
        `Cannot save "${of.name}" as a PEFT folder: it holds ${
          [...CODECS.map(nameOf), ...OTHERS].sort().join(", ")
        }; ` +
          "merge the adapter and save the model instead",
      );
  }
}

/** Methods of other places than layers. */
const OTHERS: readonly string[] = [
  "layer-norm-tune",
  "llama-adapter",
  "modules-to-save",
  "only",
  "soft prompts",
  "trainable-tokens",
  "xlora",
];

/** The codec of a method, by the name of its factory. */
const codecOf = (method: string): AnyPeftCodec | undefined =>
  CODECS.find((codec) => plainName(nameOf(codec)) === plainName(method));

const nameOf = ({ method }: AnyPeftCodec): string => method.definition?.name ?? method.name;

interface MainFields {
  readonly main: NonNullable<FolderParts["main"]>;
  readonly targets: PeftFields;
}

function mainOf(
  { of, method, options, params }: ComponentMethod,
  model: Model,
  adapter: Adapter,
): MainFields {
  const { spec } = model;
  if (method === "layerNormTune") return normsOfParams(options, params, spec);
  if (method === "llamaAdapter") {
    return { main: llamaAdapterOfOptions(options as LlamaAdapterOptions, model), targets: {} };
  }
  if (method === "xlora") return { main: xloraOfOptions(of, options, params, spec), targets: {} };
  if (
    ["promptTuning", "spot", "prefixTuning", "multitaskPromptTuning", "contextPromptTuning"].includes(method)
  ) {
    return { main: promptsOfOptions(method, options, spec), targets: {} };
  }
  const codec = codecOf(method)!;
  const adapted = codec.adapted?.(adapter, params, options, spec) ?? placesIn(params, spec);
  const places = placesInPeft(adapted, model);
  if (places.length === 0) {
    throw new RangeError(`Cannot save ${method}: none of its parameters stands at a layer`);
  }
  // PEFT decides layer by layer and the last one stays in the config; it uses the field only as a hint.
  const last = places.findLast((place) => place.kind !== "embedding");
  const transposed = last?.kind === "linear" && last.transposed;
  if (codec === ia3Peft) {
    const main = mainPart(ia3Peft, options as Ia3Options, places, spec);
    const fields = fieldsOfLayers(options as Ia3Options, places, spec, false);
    const scaled = places.filter((place) => scalesInput(place, options as Ia3Options));
    return { main, targets: { ...withFeedForward(fields, scaled, places), fan_in_fan_out: transposed } };
  }
  const targets = {
    ...fieldsOfLayers(
      targetsFor(codec, options),
      places,
      spec,
      Object.hasOwn(codec.fields, "layers_to_transform"),
    ),
    fan_in_fan_out: transposed,
  };
  const own = {
    main: mainPart(codec, options, places, spec),
    targets: Object.fromEntries(
      Object.entries(targets).filter(([name]) =>
        name === "target_modules" || Object.hasOwn(codec.fields, name)
      ),
    ),
  };
  codec.check?.(places, options, own.targets);
  return codec.type === "LORA" ? beside(own, options) : own;
}

/** LoRA has biases as its own option, or separately where a saved module has some of them. */
function beside({ main, targets }: MainFields, options: ComponentMethod["options"]): MainFields {
  return (options["bias"] ?? "none") === "none"
    ? { main: { ...main, biases: "lora_only" }, targets }
    : { main, targets };
}

/** A config without `exclude_modules` must name the remaining layers. */
function targetsFor(codec: AnyPeftCodec, options: TargetOptions): TargetOptions {
  if (Object.hasOwn(codec.fields, "exclude_modules")) return options;
  const { exclude: _, ...rest } = options;
  return rest;
}

function savedOf({ method, options, params }: ComponentMethod): ModulesToSaveOptions {
  if (method === "modulesToSave") return options as MethodConfig & ModulesToSaveOptions;
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
