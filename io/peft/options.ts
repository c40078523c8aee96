/** From an `adapter_config.json` to the parts of an adapter: methods with options, in terms of a model's places. */
import {
  chooseTargets,
  type Json,
  type MatrixPlace,
  type Model,
  nameMatches,
  type Place,
  type Spec,
  type TargetOptions,
} from "../../core/mod.ts";
import { knownFields, namesField, otherVersion, type PeftConfig } from "../../formats/peft_config.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { ia3Defaults } from "../../formats/peft_defaults.ts";
import { pythonPattern } from "../../formats/peft_targets.ts";
import { adaloraPeft } from "../../methods/adalora_peft.ts";
import { beftPeft } from "../../methods/beft_peft.ts";
import { boftPeft } from "../../methods/boft_peft.ts";
import { deftPeft } from "../../methods/deft_peft.ts";
import { doraPeft } from "../../methods/dora_peft.ts";
import { fourierftPeft } from "../../methods/fourierft_peft.ts";
import { randloraPeft } from "../../methods/randlora_peft.ts";
import { c3aPeft } from "../../methods/c3a_peft.ts";
import { tinyLoraPeft } from "../../methods/tiny_lora_peft.ts";
import { pveraPeft } from "../../methods/pvera_peft.ts";
import { uniLoraPeft } from "../../methods/uni_lora_peft.ts";
import { gloraPeft } from "../../methods/glora_peft.ts";
import { vbLoraPeft } from "../../methods/vb_lora_peft.ts";
import { deloraPeft } from "../../methods/delora_peft.ts";
import { graloraPeft } from "../../methods/gralora_peft.ts";
import { hiraPeft } from "../../methods/hira_peft.ts";
import { osfPeft } from "../../methods/osf_peft.ts";
import { hraPeft } from "../../methods/hra_peft.ts";
import { ia3Peft } from "../../methods/ia3_peft.ts";
import { LAYER_NORM_FIELDS } from "../../methods/layer_norm_tune_peft.ts";
import { LLAMA_ADAPTER_FIELDS } from "../../methods/llama_adapter_peft.ts";
import { lilyPeft } from "../../methods/lily_peft.ts";
import { lohaPeft } from "../../methods/loha_peft.ts";
import { lokrPeft } from "../../methods/lokr_peft.ts";
import type { LoraOptions } from "../../methods/lora.ts";
import { loraPeft } from "../../methods/lora_peft.ts";
import { missPeft } from "../../methods/miss_peft.ts";
import { oftPeft } from "../../methods/oft_peft.ts";
import { peanutPeft } from "../../methods/peanut_peft.ts";
import { type PeftCodec, type PeftFields, wrong } from "../../methods/peft_codec.ts";
import { polyPeft } from "../../methods/poly_peft.ts";
import { roadPeft } from "../../methods/road_peft.ts";
import { shiraPeft } from "../../methods/shira_peft.ts";
import { tokenRows, type TrainableTokensOptions } from "../../methods/trainable_tokens.ts";
import { veraPeft } from "../../methods/vera_peft.ts";
import { waveftPeft } from "../../methods/waveft_peft.ts";
import {
  type FolderParts,
  type MainPart,
  mainPart,
  matrixPlaces,
  modulesEndingWith,
  modulesNamed,
  outermost,
  placesInPeft,
  savedBiases,
} from "./layout.ts";
import { changedBase, startOf } from "./changed_base.ts";
import { llamaAdapterOfConfig } from "./llama_adapter.ts";
import { startsOfOsf } from "./osf.ts";
import { normsOfConfig } from "./norms.ts";
import { parameterPlaces, parameterTensors, withParameterRanks } from "./parameters.ts";
import { promptsOfConfig } from "./prompts.ts";
import { settledPatterns, withOurPatterns } from "./patterns.ts";
import { layersOfFields } from "./targets.ts";
import { standaloneTokens, tokensOf } from "./tokens.ts";
import { type Experts, xloraOfConfig } from "./xlora.ts";

/**
 * A config as the folder's tensors bear it out: without its CUDA kernel PEFT makes one factor of BOFT whatever it was asked for,
 * when it trains and when it loads, and records what it was asked for.
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
 * @param experts Those that X-LoRA mixes.
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
        `Cannot load a PEFT adapter of type ${config.type}: known are LORA, ADALORA, LOHA, LOKR, VERA, LILY, HRA, MISS, OFT, BOFT, ` +
          "DEFT, PEANUT, BEFT, " +
          "C3A, TINYLORA, PVERA, UNILORA, VBLORA, RANDLORA, " +
          "ROAD, DELORA, HIRA, SHIRA, GRALORA, WAVEFT, " +
          "MULTITASK_PROMPT_TUNING, CPT, POLY, GLORA, OSF, " +
          "FOURIERFT, IA3, LN_TUNING, PROMPT_TUNING, P_TUNING, PREFIX_TUNING, ADAPTION_PROMPT, XLORA and TRAINABLE_TOKENS" +
          otherVersion(config.fields),
      );
  }
}

const isValue = (place: Place): boolean => place.kind === "linear" && place.role === "value";
/** Where FourierFT and WaveFT stand without `target_modules`. */
const transformedLayers = (model: Model): TargetOptions =>
  model.config.model_type === "gpt2" ? { targets: ["mlp.c_proj"] } : {};

/** What VB-LoRA adapts by default: all that T5 has. */
const bankTargets = ({ config }: Model): TargetOptions =>
  ["t5", "mt5"].includes(String(config.model_type)) ? { targets: "all-linear" } : {};

/** A method of matrices; without `target_modules` PEFT mostly takes LoRA's. */
function matrixParts<O extends TargetOptions>(
  codec: PeftCodec<O>,
  config: PeftConfig,
  model: Model,
  standard: TargetOptions = {},
): FolderParts {
  const fields = knownFields(config, codec.fields, codec.refused);
  const names = (): readonly string[] => chooseTargets(model.spec, standard).map((place) => place.path);
  return withExtras(main(codec, fields, names, model), fields, model);
}

/** LoRA, what its start did to the base, and biases beside it where a saved module has some of them. */
function loraParts(codec: PeftCodec<LoraOptions>, config: PeftConfig, model: Model): FolderParts {
  const start = startOf(config.fields);
  const given = knownFields(config, codec.fields, codec.refused);
  const fields = start === undefined ? given : { ...given, init_lora_weights: true };
  const apart = fields["bias"] === "all" && savesBiases(fields, model);
  const parameters = parameterPlaces(fields, model.spec);
  const { options, places: all } = loraLayers(fields, parameters, model.spec);
  const places = placesInPeft(all, model);
  const read = codec.read(withOurPatterns(apart ? { ...fields, bias: "none" } : fields));
  const asked = { ...settledPatterns(withParameterRanks(read, parameters), places), ...options };
  if (start !== undefined && parameters.length > 0) {
    throw new RangeError(
      `Cannot load an adapter with init_lora_weights ${
        JSON.stringify(config.fields["init_lora_weights"])
      } and target_parameters: name the layers in target_modules, or merge it ` +
        "in PEFT",
    );
  }
  const begun = start === undefined ? { options: asked } : changedBase(codec, start, asked, places, model);
  const whole = mainPart(codec, begun.options, places, model.spec);
  const part = {
    ...whole,
    tensors: parameterTensors(whole.tensors, parameters),
    ..."changed" in begun && { changed: begun.changed },
    ...apart && { biases: "lora_only" },
  };
  return withExtras(part, fields, model);
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
    throw new RangeError(
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
  const modules = modulesOf(fields, model);
  return modules !== undefined && savedBiases({ modules }, model).length > 0;
}

function main<O extends TargetOptions>(
  codec: PeftCodec<O>,
  fields: PeftFields,
  standard: () => readonly string[],
  model: Model,
  extra: (places: readonly MatrixPlace[]) => Partial<O> = () => ({}),
): MainPart {
  const { options, places: all } = layersOfFields(fields, standard, model.spec);
  const places = placesInPeft(all, model);
  return mainPart(
    codec,
    { ...settledPatterns(codec.read(withOurPatterns(fields)), places), ...options, ...extra(places) } as O,
    places,
    model.spec,
  );
}

function ia3Main(fields: PeftFields, standard: () => readonly string[], model: Model): MainPart {
  const given = fields["feedforward_modules"] ?? null;
  const isPattern = typeof given === "string";
  const names = isPattern
    ? []
    : namesField("feedforward_modules", given) ?? ia3Defaults(model.config.model_type).feedForward;
  return main(ia3Peft, fields, standard, model, (places) => {
    const pattern = isPattern ? pythonPattern(`(?:${given})`) : undefined;
    // PEFT compares plain ends of paths here, not whole names.
    const atInput = (path: string): boolean =>
      pattern === undefined
        ? names.some((name) => path.endsWith(name))
        : new RegExp(`^${pattern.source}$`, pattern.flags).test(path);
    const paths = places.map((place) => place.path).filter(atInput);
    const same = places.every(({ path }) =>
      names.some((name) => nameMatches(name, path)) === paths.includes(path)
    );
    return {
      feedForward: same ? names.filter((name) => places.some(({ path }) => nameMatches(name, path))) : paths,
    };
  });
}

function withExtras(part: MainPart, fields: PeftFields, model: Model): FolderParts {
  const modules = modulesOf(fields, model);
  const biases = part.biases === undefined ? undefined : biasesOf(fields["bias"], part.biases);
  const given = fields["trainable_token_indices"] ?? null;
  const tokens = given === null ? undefined : tokensOf(given, model.spec);
  const ensured = fields["ensure_weight_tying"] === true;
  checkRows(part, tokens, model);
  return {
    main: part,
    ...biases && { biases },
    ...modules && { saved: { modules } },
    ...tokens && { tokens },
    fixed: modules && !ensured ? loneEmbeddings(modules, model.spec) : [],
    ...ensured && { shared: tiedPairs(model.spec).filter((pair) => isAdapted(pair, part)) },
  };
}

/** Names of the saved modules. */
function modulesOf(fields: PeftFields, model: Model): readonly string[] | undefined {
  // PEFT writes the names of heads twice for prompts.
  const names = [...new Set(namesField("modules_to_save", fields["modules_to_save"]))];
  const saved = headNames(names, fields, model);
  return saved.length > 0 ? savedNames(saved, model) : undefined;
}

/** Which biases a config says train. @throws {TypeError} on another word. */
function biasesOf(value: Json | undefined, adapted: string): FolderParts["biases"] {
  switch (value) {
    case "none":
      return undefined;
    case "all":
      return "all";
    case adapted:
      return "adapted";
    default:
      return wrong("bias", `"none", "all" or "${adapted}"`, value);
  }
}

/** For classifiers PEFT adds two names that heads go by; a model has one of them. */
function headNames(names: readonly string[], fields: PeftFields, model: Model): readonly string[] {
  if (fields["task_type"] !== "SEQ_CLS" && fields["task_type"] !== "TOKEN_CLS") return names;
  const isThere = (name: string): boolean => modulesEndingWith([name], model).length > 0;
  return names.filter((name) => !["classifier", "score"].includes(name) || isThere(name));
}

/** Names that mean in our reading what the given ones mean in PEFT's. */
function savedNames(names: readonly string[], model: Model): readonly string[] {
  for (const name of names) {
    if (modulesEndingWith([name], model).length === 0) {
      throw new RangeError(`"${name}" of modules_to_save matches no module of the model`);
    }
  }
  const theirs = modulesEndingWith(names, model);
  const inner = theirs.find((path) => outermost(theirs, path) !== path);
  if (inner !== undefined) throw nested(names, inner, outermost(theirs, inner));
  return theirs.length === modulesNamed(names, model).length ? names : theirs;
}

/** PEFT wraps a module inside a saved one again, writes one of its two copies, and cannot load the folder. */
function nested(names: readonly string[], inner: string, outer: string): RangeError {
  const nameOf = (path: string): string => names.find((name) => path.endsWith(name))!;
  return new RangeError(
    `Cannot load this adapter: "${
      nameOf(inner)
    }" of modules_to_save means "${inner}", which lies in "${outer}", meant by ` +
      `"${
        nameOf(outer)
      }"; both would have numbers of their own and the folder has them once, so train it with one of the two`,
  );
}

/** Heads whose embedding gets a copy of its own in PEFT while they keep the shared table. */
function loneEmbeddings(modules: readonly string[], spec: Spec): readonly string[] {
  const saved = (path: string): boolean => modules.some((name) => nameMatches(name, path));
  return spec.heads.filter((head) => head.tiedTo !== undefined && saved(head.tiedTo) && !saved(head.path))
    .map((head) => `${head.path}.weight`);
}

function checkRows(part: MainPart, tokens: TrainableTokensOptions | undefined, { spec }: Model): void {
  const rows = tokens ? tokenRows(spec, tokens).map(({ place }) => place.path) : [];
  const both = part.places.find(({ path }) => rows.includes(path));
  if (both !== undefined) {
    throw new RangeError(`Cannot adapt "${both.path}" and train rows of it: leave it out of one of the two`);
  }
}

/** Embeddings and the heads tied to them. */
const tiedPairs = (spec: Spec): readonly (readonly [embedding: string, head: string])[] =>
  spec.heads.flatMap(({ path, tiedTo }) => tiedTo === undefined ? [] : [[tiedTo, path] as const]);

const isAdapted = (pair: readonly string[], { places }: MainPart): boolean =>
  pair.every((path) => places.some((place) => place.path === path));
