/** Creates methods from flags, with defaults suited to the method and the model's sizes. */
import { chooseTargets, type Json, type Method, type Spec } from "../core/mod.ts";
import { type BuiltMethod, METHOD_OPTIONS } from "../io/records/method_options.ts";
import { namedMethod } from "../io/records/named_method.ts";
import { type JsonOptions, optionsFromJson } from "../core/options/option_json.ts";
import { checkOptions } from "../core/options/option.ts";
import type { OptionSchemas } from "../core/options/option_schemas.ts";
import { fullFineTune, mam, pTuningV2, unipelt } from "../methods/mod.ts";
import { checkOwn, UsageError } from "./usage_error.ts";
import {
  METHOD_TABLE,
  type MethodFlag,
  type MethodName,
  type MethodOptionFlags,
  type SourcedName,
  type StagedName,
} from "./method_catalog.ts";
import {
  bankLength,
  commonDivisor,
  phmSizes,
  reductionOf,
  s4Budget,
  s4Groups,
  smallestInput,
  smallestMatrix,
  sparseRank,
} from "../methods/shared/model_sizes.ts";

/** The method and its options; missing options have the method's defaults. */
export interface MethodFlags extends MethodOptionFlags {
  readonly method: MethodName;
  /** Further options by the library's names; they take precedence. */
  readonly options?: JsonOptions;
}

/** Methods created from options alone. The others first need data or weights, see `prepare.ts`. */
export type PlainName = Exclude<MethodName, "fish-mask" | "psoft" | "ladder-side" | StagedName | SourcedName>;

/**
 * The method for flags and a model's sizes. For `pissa`, `olora`, `loftq` and `eva` it is the LoRA that is
 * trained.
 *
 * @throws {UsageError} when a flag does not belong to the method.
 * @throws {RangeError} when an option is unknown, or its value out of range.
 */
export function methodOf(flags: MethodFlags & { readonly method: PlainName }, spec: Spec): Method {
  checkFlags(flags);
  const { method, options = {}, rank, length, dropout } = flags;
  const made = (name: BuiltMethod, own: Loose = {}): Method =>
    namedMethod(name, { ...defined(own), ...options });
  const chosen = placesOf(flags, spec, "all-linear");
  const reduction = reductionOf(flags.bottleneck, spec);
  switch (method) {
    case "lora":
    case "qlora":
      return made("lora", lowRankOptions(flags, spec));
    case "rslora":
      return made("lora", { ...lowRankOptions(flags, spec), scaling: "rankStabilized" });
    case "dora":
      return made("dora", lowRankOptions(flags, spec));
    case "lora-plus":
      return made("loraPlus", lowRankOptions(flags, spec));
    case "pissa":
    case "olora":
    case "loftq":
    case "eva":
      return namedMethod("lora", lowRankOptions(flags, spec));
    case "adalora": {
      const { rank: targetRank, ...rest } = lowRankOptions(flags, spec);
      return made("adalora", { ...rest, targetRank, rank: Math.ceil(1.5 * targetRank) });
    }
    case "loha":
    case "lokr":
      return made(method, { rank: rank ?? 8, alpha: flags.alpha ?? 2 * (rank ?? 8), ...chosen });
    case "krona":
      return made("krona", { dropout, ...chosen });
    case "vera":
      return made("vera", { rank, dropout, ...chosen });
    case "lily":
      return made("lily", { rank, ...chosen });
    case "oft":
      // Requested blocks must divide the sizes.
      return made("oft", {
        ...options["blocks"] === undefined && { blocks: { size: 32 }, uneven: "nearest" },
        ...chosen,
      });
    case "boft":
      return made("boft", chosen);
    case "poly":
    case "glora":
      return made(method, { rank, ...chosen });
    case "osf":
      return made("osf", chosen);
    case "hra":
      return made("hra", { rank, ...chosen });
    case "miss": {
      // Pieces of 64 inputs, as in PEFT, where the layers are that wide.
      const places = chooseTargets(spec, chosen);
      return made("miss", { rank: rank ?? Math.min(64, smallestInput(places)), ...chosen });
    }
    case "fourierft":
      return made("fourierft", {
        frequencies: flags.dimension ?? Math.min(1000, smallestMatrix(chooseTargets(spec, chosen))),
        ...chosen,
      });
    case "vb-lora":
      return made("vbLora", { rank, dropout, length: bankLength(chooseTargets(spec, chosen)), ...chosen });
    case "uni-lora":
      return made("uniLora", {
        rank,
        dimension: flags.dimension,
        assignment: "balanced",
        dropout,
        ...chosen,
      });
    case "pvera":
      return made("pvera", { rank, dropout, ...chosen });
    case "tiny-lora":
      return made("tinyLora", { rank, dimension: flags.dimension, dropout, ...chosen });
    case "c3a":
      return made("c3a", { block: commonDivisor(chooseTargets(spec, chosen)), ...chosen });
    case "deft":
      return made("deft", { rank, alpha: flags.alpha, dropout, ...chosen });
    case "peanut":
      return made("peanut", { rank, ...chosen });
    case "randlora":
      return made("randlora", { rank, alpha: flags.alpha, dropout, ...chosen });
    case "road":
    case "delora":
    case "hira":
      return made(method, { rank, dropout, ...chosen });
    case "shira":
      return made("shira", { rank: rank ?? sparseRank(chooseTargets(spec, chosen)), ...chosen });
    case "gralora":
      return made("gralora", { rank: rank ?? 8, alpha: flags.alpha, dropout, ...chosen });
    case "waveft":
      return made("waveft", {
        frequencies: flags.dimension ?? Math.min(2592, smallestMatrix(chooseTargets(spec, chosen))),
        ...chosen,
      });
    case "intrinsic-said":
      return made("intrinsicSaid", { dimension: flags.dimension ?? 1000, parameters: flags.targets });
    case "ia3":
    case "beft":
      return made(method, placesOf(flags, spec));
    case "bitfit":
      return made("bitfit");
    case "layer-norm":
      return made("layerNormTune", { norms: flags.targets });
    case "top-layers":
      return made("topLayers");
    case "cross-attention":
      return made("crossAttention");
    case "trainable-tokens":
      if (options["tokens"] === undefined) {
        throw new UsageError(`Expected --options '{"tokens": [ids]}' with --method trainable-tokens`);
      }
      return made("trainableTokens");
    case "only":
      if (flags.targets === undefined && options["parameters"] === undefined) {
        throw new UsageError("Expected --targets with --method only: the weights that train, by name");
      }
      return made("only", { parameters: flags.targets });
    case "houlsby":
    case "pfeiffer":
    case "adamix":
      return made(method, { reduction });
    case "invertible":
      return made("invertibleAdapter", { reduction });
    case "parallel":
      return made("parallelAdapter", { reduction, dropout });
    case "phm":
      return made("phmAdapter", phmSizes(spec, 12, flags.bottleneck));
    case "compacter":
      return made("compacter", phmSizes(spec, 4, flags.bottleneck));
    case "compacter-plus-plus":
      return made("compacter", { ...phmSizes(spec, 4, flags.bottleneck), after: ["feedForward"] });
    case "krona-b":
      return made("kronaB");
    case "krona-bres":
      return made("kronaBres");
    case "prefix":
      return made("prefixTuning", { length, dropout });
    case "prompt":
      return made("promptTuning", { length });
    case "p-tuning":
      return made("pTuning", { length });
    case "p-tuning-v2":
      return pTuningV2({
        ...defined({ length, dropout }),
        ...checked(method, options, METHOD_OPTIONS.prefixTuning),
      });
    case "multitask-prompt":
      return made("multitaskPromptTuning", { length, rank });
    case "context-prompt":
      if (options["tokens"] === undefined) {
        throw new UsageError(`Expected --options '{"tokens": [ids]}' with --method context-prompt`);
      }
      return made("contextPromptTuning");
    case "llama-adapter":
      return made("llamaAdapter", { length });
    case "loreft":
      return made("loreft", { rank, dropout });
    case "mam":
      return mam({
        prefix: defined({ length, ...part(options, "prefix") }),
        parallel: defined({ reduction, ...part(options, "parallel") }),
      });
    case "unipelt":
      return unipelt({
        prefix: partOrNone(options, "prefix", { length }),
        lora: partOrNone(options, "lora", { rank }),
        adapter: partOrNone(options, "adapter", { reduction }),
      });
    case "s4":
      return made("s4", { budget: flags.dimension ?? s4Budget(spec), groups: s4Groups(spec) });
    case "attention-fusion":
      return made("attentionFusion");
    case "lets":
      // A causal model predicts from every token.
      return made("lets", { pool: spec.stacks[0]?.stack === "decoder" ? "each" : "first" });
    case "full":
      return fullFineTune();
    default:
      return method satisfies never;
  }
}

type Loose = { readonly [name: string]: Json | undefined };

/** Options of LoRA and its variants. */
export function lowRankOptions(flags: MethodFlags, spec: Spec): JsonOptions & { readonly rank: number } {
  const { rank = 8, dropout = 0 } = flags;
  return { rank, alpha: flags.alpha ?? 2 * rank, dropout, ...placesOf(flags, spec, "all-linear") };
}

type Places = { readonly targets?: readonly string[] | "all-linear"; readonly exclude?: readonly string[] };

/**
 * "all-linear", or names of layers; never one of a head, which is outside the blocks and is trained as a
 * whole if at all.
 */
export function placesOf({ targets }: MethodFlags, spec: Spec, otherwise?: "all-linear"): Places {
  const given = targets?.length === 1 && targets[0] === "all-linear" ? "all-linear" : targets ?? otherwise;
  const exclude = spec.linears.filter(({ layer }) => layer === undefined).map(({ path }) => path);
  return { ...given !== undefined && { targets: given }, ...exclude.length > 0 && { exclude } };
}

/** @throws {UsageError} on a flag without effect for the method. */
export function checkFlags(flags: MethodFlags): void {
  const { method, options = {} } = flags;
  const all: readonly MethodFlag[] = [
    "rank",
    "alpha",
    "dropout",
    "targets",
    "bottleneck",
    "length",
    "dimension",
  ];
  checkOwn(flags, all, METHOD_TABLE[method].flags);
  const parts = NESTED[method] ?? [];
  if (method === "full" && Object.keys(options).length > 0) {
    throw new UsageError("Cannot use --options with --method full: it has none");
  }
  const unknown = parts.length === 0 ? undefined : Object.keys(options).find((name) => !parts.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`${method} has no option "${unknown}": there are ${parts.join(", ")}`);
  }
}

/** Options of methods that are compositions. */
const NESTED: Readonly<Partial<Record<MethodName, readonly string[]>>> = {
  "mam": ["prefix", "parallel"],
  "unipelt": ["prefix", "lora", "adapter"],
  "p-tuning-v2": ["length", "network", "dropout", "positions"],
};

function part(options: JsonOptions, name: string): Loose {
  const value = options[name] ?? {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new UsageError(`Expected an object "${name}" in --options but found ${JSON.stringify(value)}`);
  }
  return checked(`"${name}"`, value as JsonOptions, PART_OPTIONS[name]!) as Loose;
}

/** Options of parts, those of their methods. */
const PART_OPTIONS: Readonly<Record<string, OptionSchemas>> = {
  prefix: METHOD_OPTIONS.prefixTuning,
  parallel: METHOD_OPTIONS.parallelAdapter,
  lora: METHOD_OPTIONS.lora,
  adapter: METHOD_OPTIONS.pfeiffer,
};

function checked(name: string, options: JsonOptions, kinds: OptionSchemas): JsonOptions {
  checkOptions(name, optionsFromJson(options), kinds);
  return options;
}

function partOrNone(options: JsonOptions, name: string, own: Loose): JsonOptions | "none" {
  return options[name] === "none" ? "none" : defined({ ...own, ...part(options, name) });
}

function defined(options: Loose): JsonOptions {
  return Object.fromEntries(
    Object.entries(options).filter((entry): entry is [string, Json] => entry[1] !== undefined),
  );
}
