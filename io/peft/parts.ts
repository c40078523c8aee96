/** Converts an adapter to the parts of a PEFT folder, and the config fields that name its layers. */
import {
  type Adapter,
  chooseTargets,
  FROZEN,
  leaves,
  lookup,
  type MatrixPlace,
  type MethodConfig,
  type Model,
  type Spec,
  type TargetOptions,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import type { FixedWeightsOptions } from "../../methods/selective/fixed_weights.ts";
import { adaloraPeft } from "../../methods/low_rank/adalora_peft.ts";
import { beftPeft } from "../../methods/selective/beft_peft.ts";
import { boftPeft } from "../../methods/structured/boft_peft.ts";
import { deftPeft } from "../../methods/structured/deft_peft.ts";
import { doraPeft } from "../../methods/low_rank/dora_peft.ts";
import { fourierftPeft } from "../../methods/structured/fourierft_peft.ts";
import { randloraPeft } from "../../methods/low_rank/randlora_peft.ts";
import { c3aPeft } from "../../methods/structured/c3a_peft.ts";
import { tinyLoraPeft } from "../../methods/low_rank/tiny_lora_peft.ts";
import { pveraPeft } from "../../methods/low_rank/pvera_peft.ts";
import { uniLoraPeft } from "../../methods/low_rank/uni_lora_peft.ts";
import { gloraPeft } from "../../methods/low_rank/glora_peft.ts";
import { vbLoraPeft } from "../../methods/low_rank/vb_lora_peft.ts";
import { deloraPeft } from "../../methods/low_rank/delora_peft.ts";
import { graloraPeft } from "../../methods/structured/gralora_peft.ts";
import { hiraPeft } from "../../methods/structured/hira_peft.ts";
import { osfPeft } from "../../methods/structured/osf_peft.ts";
import { hraPeft } from "../../methods/structured/hra_peft.ts";
import { type Ia3Options, scalesInput } from "../../methods/rescaling/ia3.ts";
import { ia3Peft } from "../../methods/rescaling/ia3_peft.ts";
import type { LlamaAdapterOptions } from "../../methods/soft_prompts/llama_adapter.ts";
import type { LilyOptions } from "../../methods/low_rank/lily.ts";
import { checkLilyInPeft, lilyPeft } from "../../methods/low_rank/lily_peft.ts";
import { lohaPeft } from "../../methods/structured/loha_peft.ts";
import { lokrPeft } from "../../methods/structured/lokr_peft.ts";
import { loraPeft } from "../../methods/low_rank/lora_peft.ts";
import { missPeft } from "../../methods/structured/miss_peft.ts";
import { oftPeft } from "../../methods/structured/oft_peft.ts";
import { peanutPeft } from "../../methods/structured/peanut_peft.ts";
import { polyPeft } from "../../methods/low_rank/poly_peft.ts";
import { roadPeft } from "../../methods/structured/road_peft.ts";
import { shiraPeft } from "../../methods/structured/shira_peft.ts";
import { veraPeft } from "../../methods/low_rank/vera_peft.ts";
import { waveftPeft } from "../../methods/structured/waveft_peft.ts";
import {
  type ModulesToSaveOptions,
  type SavedLeaf,
  savedLeaves,
} from "../../methods/selective/modules_to_save.ts";
import type { PeftCodec, PeftFields } from "../../methods/peft/codec.ts";
import type { TrainableTokensOptions } from "../../methods/selective/trainable_tokens.ts";
import { type ComponentMethod, componentMethods } from "../records/component_methods.ts";
import type { FolderParts, MainPart } from "./folder_parts.ts";
import { looseBiases, mainPart, matrixPlaces, type PartNames, PARTS, placesInPeft } from "./layout.ts";
import { llamaAdapterOfOptions } from "./llama_adapter.ts";
import { normsOfParams } from "./norms.ts";
import { promptsOfOptions } from "./prompts.ts";
import { fieldsOfLayers, withFeedForward } from "./targets.ts";
import { xloraOfOptions } from "./xlora.ts";

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
  const main = pieces.find(({ of, method }) => kindOf(method, of.name) === "main");
  const mainFields = main && mainOf(main, model, adapter);
  const saves = pieces.find(({ of, method }) => kindOf(method, of.name) === "saved" && method !== "only");
  const saved = saves ? savedLeaves(model, savedOf(saves)) : [];
  for (const piece of pieces) {
    const biases = mainFields && biasesOf(piece, mainFields.main, model.spec, saved);
    const part = biases ? "biases" : kindOf(piece.method, piece.of.name);
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

function kindOf(method: string, name: string): Exclude<keyof PartNames, "biases"> {
  switch (method) {
    case "lora":
    case "loraPlus":
    case "adalora":
    case "dora":
    case "ia3":
    case "loha":
    case "lokr":
    case "vera":
    case "lily":
    case "poly":
    case "glora":
    case "osf":
    case "hra":
    case "miss":
    case "oft":
    case "boft":
    case "c3a":
    case "tinyLora":
    case "pvera":
    case "uniLora":
    case "vbLora":
    case "randlora":
    case "fourierft":
    case "deft":
    case "peanut":
    case "beft":
    case "road":
    case "delora":
    case "hira":
    case "shira":
    case "gralora":
    case "waveft":
    case "layerNormTune":
    case "promptTuning":
    case "spot":
    case "prefixTuning":
    case "multitaskPromptTuning":
    case "contextPromptTuning":
    case "llamaAdapter":
    case "xlora":
      return "main";
    case "pissa":
    case "olora":
    case "loftq":
      throw new TypeError(
        `Cannot save "${method}" as a PEFT folder: its adapter is right on the changed base alone; save what onOriginal ` +
          "makes of it, LoRA of the original base with twice the rank, or merge it",
      );
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
        `Cannot save "${name}" as a PEFT folder: it holds lora, adalora, dora, ia3, loha, lokr, vera, lily, hra, miss, oft, boft, fourierft, ` +
          "deft, peanut, beft, " +
          "c3a, tinyLora, pvera, uniLora, vbLora, randlora, " +
          "road, delora, hira, shira, gralora, waveft, " +
          "layerNormTune, soft prompts, llamaAdapter, poly, glora, osf, xlora, trainableTokens, modulesToSave and only; merge the adapter and save the model instead",
      );
  }
}

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
  const adapted = method === "uniLora"
    ? placesReading(params["theta"] as Tensor, adapter, spec)
    : adaptedPlaces(params, spec, method === "tinyLora" ? options : undefined);
  const places = placesInPeft(adapted, model);
  if (places.length === 0) {
    throw new RangeError(`Cannot save ${method}: none of its parameters stands at a layer`);
  }
  // PEFT decides layer by layer and the last one stays in the config; it uses the field only as a hint.
  const last = places.findLast((place) => place.kind !== "embedding");
  const transposed = last?.kind === "linear" && last.transposed;
  const matrix = <O extends TargetOptions>(codec: PeftCodec<O>): MainFields => {
    const targets = {
      ...fieldsOfLayers(
        targetsFor(codec, options),
        places,
        spec,
        Object.hasOwn(codec.fields, "layers_to_transform"),
      ),
      fan_in_fan_out: transposed,
    };
    return {
      main: mainPart(codec, options as MethodConfig & O, places, spec),
      targets: Object.fromEntries(
        Object.entries(targets).filter(([name]) =>
          name === "target_modules" || Object.hasOwn(codec.fields, name)
        ),
      ),
    };
  };
  switch (method) {
    case "adalora":
      return matrix(adaloraPeft);
    case "dora":
      if (options["decomposition"] === "adapterHub") {
        throw new TypeError(
          'Cannot save DoRA with decomposition "adapterHub" for PEFT: there a bias is not scaled and the norm has the factor in it',
        );
      }
      return beside(matrix(doraPeft), options);
    case "loha":
      return matrix(lohaPeft);
    case "lokr":
      return matrix(lokrPeft);
    case "vera":
      return matrix(veraPeft);
    case "lily": {
      const fields = matrix(lilyPeft);
      checkLilyInPeft(places, options as LilyOptions, fields.targets);
      return fields;
    }
    case "poly":
      return matrix(polyPeft);
    case "glora":
      return matrix(gloraPeft);
    case "osf":
      return matrix(osfPeft);
    case "hra":
      return matrix(hraPeft);
    case "miss":
      return matrix(missPeft);
    case "oft":
      return matrix(oftPeft);
    case "boft":
      return matrix(boftPeft);
    case "fourierft":
      return matrix(fourierftPeft);
    case "randlora":
      return matrix(randloraPeft);
    case "c3a":
      return matrix(c3aPeft);
    case "tinyLora":
      return matrix(tinyLoraPeft);
    case "pvera":
      return matrix(pveraPeft);
    case "uniLora":
      return matrix(uniLoraPeft);
    case "vbLora":
      return matrix(vbLoraPeft);
    case "deft":
      return matrix(deftPeft);
    case "peanut":
      return matrix(peanutPeft);
    case "beft":
      return matrix(beftPeft);
    case "road":
      return matrix(roadPeft);
    case "delora":
      return matrix(deloraPeft);
    case "hira":
      return matrix(hiraPeft);
    case "shira":
      return matrix(shiraPeft);
    case "gralora":
      return matrix(graloraPeft);
    case "waveft":
      return matrix(waveftPeft);
    case "ia3": {
      const main = mainPart(ia3Peft, options as Ia3Options, places, spec);
      const fields = fieldsOfLayers(options as Ia3Options, places, spec, false);
      const scaled = places.filter((place) => scalesInput(place, options as Ia3Options));
      return { main, targets: { ...withFeedForward(fields, scaled, places), fan_in_fan_out: transposed } };
    }
    default:
      return beside(matrix(loraPeft), options);
  }
}

/** LoRA has biases as its own option, or separately where a saved module has some of them. */
function beside({ main, targets }: MainFields, options: ComponentMethod["options"]): MainFields {
  return (options["bias"] ?? "none") === "none"
    ? { main: { ...main, biases: "lora_only" }, targets }
    : { main, targets };
}

/** A config without `exclude_modules` must name the remaining layers. */
function targetsFor<O>(codec: PeftCodec<O>, options: TargetOptions): TargetOptions {
  if (Object.hasOwn(codec.fields, "exclude_modules")) return options;
  const { exclude: _, ...rest } = options;
  return rest;
}

/**
 * A combinator may have narrowed the method, so the parameters determine what is adapted. A bias alone adapts
 * nothing.
 */
function adaptedPlaces(params: Tree, spec: Spec, otherwise?: TargetOptions): readonly MatrixPlace[] {
  const adapted = matrixPlaces(spec).filter((place) => {
    const found = lookup(params, place.path);
    return found !== undefined && Object.keys(found).some((name) => name !== "bias" && name !== "weight");
  });
  // Gradients of shared vectors belong to no layer.
  return adapted.length > 0 || otherwise === undefined ? adapted : chooseTargets(spec, otherwise);
}

/** For parameters not stored per layer: the layers whose updates are computed from a tensor. */
function placesReading({ storage }: Tensor, { method, params }: Adapter, spec: Spec): readonly MatrixPlace[] {
  const paths = new Set(
    method.edits(params, spec).flatMap((edit) =>
      edit.kind === "linear" && edit.change.form === "add" &&
        edit.change.map.tensors.some((t) => t.storage === storage)
        ? [edit.path]
        : []
    ),
  );
  return matrixPlaces(spec).filter(({ path }) => paths.has(path));
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
