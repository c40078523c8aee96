/**
 * `adapter_config.json` of an AdapterHub folder (adapters 1.3): its strict parser and its writer.
 *
 *     { "config": { "architecture": null | "lora" | …, … }, "name": "a", "model_class": "BertForMaskedLM", "version": … }
 */
import { checkCounts, type Json } from "../core/mod.ts";
import { inactive, sorted } from "./config_fields.ts";
import { ADAPTERS_COUNTS } from "./counted_fields.ts";
import { isObject, parseJson } from "./strict_json.ts";
import { ADAPTERS_FIELDS, type AdaptersFields, type Architecture } from "./adapters_fields.ts";
import { rangeError, syntaxError, typeError } from "../errors/error.ts";

/** Files of AdapterHub folders. */
export const ADAPTERS_FILES = {
  config: "adapter_config.json",
  weights: "adapter.safetensors",
  pickle: "pytorch_adapter.bin",
  headConfig: "head_config.json",
  head: "model_head.safetensors",
  headPickle: "pytorch_model_head.bin",
  fusionConfig: "adapter_fusion_config.json",
  fusion: "model_adapter_fusion.safetensors",
  fusionPickle: "pytorch_model_adapter_fusion.bin",
  setup: "adapter_setup.json",
} as const;

/** The library version that is written. */
export const ADAPTERS_VERSION = "adapters.1.3.0";

/** One configuration of a union, or the only one, with defaults filled in. */
export interface AdaptersConfig {
  /** The library's family of configs. */
  readonly architecture: Architecture;
  /** Its fields, with the defaults of its family. */
  readonly fields: AdaptersFields;
}

/** A folder's config. */
export interface AdaptersFolder {
  /** The adapter's name. */
  readonly name: string;
  /** The model's class in Python. */
  readonly modelClass: string;
  /** As in the model's config. */
  readonly modelType: string;
  /** d, the model's width. */
  readonly hiddenSize: number | undefined;
  /** The version of the library that wrote it. */
  readonly version: string;
  /** One config, or the parts of a union. */
  readonly configs: readonly AdaptersConfig[];
}

/**
 * Whether a parsed `adapter_config.json` is AdapterHub's.
 *
 * @example
 * ```ts
 * import { isAdaptersConfig } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.ok(isAdaptersConfig({ config: { architecture: "lora" }, model_type: "bert", name: "a" }));
 * assert.ok(!isAdaptersConfig({ peft_type: "LORA" })); // a PEFT folder's
 * ```
 */
export function isAdaptersConfig(config: unknown): boolean {
  return isObject(config) && Object.hasOwn(config, "config") && Object.hasOwn(config, "model_type") &&
    !Object.hasOwn(config, "peft_type");
}

/**
 * Parses a config.
 *
 * @param where Its path, for messages.
 * @throws {SyntaxError} when it is not such an object.
 * @throws {RangeError} when an architecture or an enabled field is unknown.
 * @example
 * ```ts
 * import { readAdaptersConfig } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const bytes = new TextEncoder().encode('{ "peft_type": "LORA" }');
 * assert.throws(() => readAdaptersConfig("a/adapter_config.json", bytes), /is no AdapterHub config/);
 * ```
 */
export function readAdaptersConfig(where: string, bytes: Uint8Array): AdaptersFolder {
  const value = parseJson(where, bytes);
  if (!isAdaptersConfig(value)) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${where}: it is no AdapterHub config, with "config" and "model_type"`,
    );
  }
  checkCounts(where, value, ADAPTERS_COUNTS);
  const { config, ...outer } = value as Readonly<Record<string, Json>>;
  for (const [name, text] of Object.entries({ name: outer["name"], version: outer["version"] ?? "" })) {
    if (typeof text !== "string") {
      throw syntaxError("FILE_INVALID", `Cannot read ${where}: "${name}" must be a text`);
    }
  }
  if (!isObject(config)) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${where}: "config" must be an object but is ${JSON.stringify(config)}`,
    );
  }
  const fields = config as AdaptersFields;
  const list = fields["architecture"] === "union" ? fields["configs"] : [fields];
  if (!Array.isArray(list) || list.length === 0 || !list.every(isObject)) {
    throw syntaxError("FILE_INVALID", `Cannot read ${where}: "configs" of a union must be a list of objects`);
  }
  return {
    name: outer["name"] as string,
    modelClass: String(outer["model_class"] ?? ""),
    modelType: String(outer["model_type"]),
    hiddenSize: typeof outer["hidden_size"] === "number" ? outer["hidden_size"] : undefined,
    version: String(outer["version"] ?? ""),
    configs: list.map((each) => oneConfig(where, withoutLegacy(each as AdaptersFields))),
  };
}

function oneConfig(where: string, { architecture: kind = null, ...given }: AdaptersFields): AdaptersConfig {
  const architecture = kind === null ? "bottleneck" : kind;
  if (typeof architecture !== "string" || !Object.hasOwn(ADAPTERS_FIELDS, architecture)) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load ${where}: the architecture ${JSON.stringify(kind)} is not known; known are ${
        Object.keys(ADAPTERS_FIELDS).join(", ")
      } and union`,
    );
  }
  const known = ADAPTERS_FIELDS[architecture as Architecture];
  const odd = Object.entries(given).find(([name, value]) => !Object.hasOwn(known, name) && !inactive(value));
  if (odd !== undefined) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load ${where}: the field "${odd[0]}" (${
        JSON.stringify(odd[1])
      }) of a ${architecture} config is not known ` +
        "and could change what the adapter computes",
    );
  }
  const present = Object.entries(given).filter(([name]) => Object.hasOwn(known, name));
  const fields = { ...known, ...Object.fromEntries(present) };
  checkKinds(where, known, fields);
  return { architecture: architecture as Architecture, fields };
}

/** Adapters of the library's first versions nest the fields of an invertible adapter. */
function withoutLegacy(fields: AdaptersFields): AdaptersFields {
  const { invertible_adapter: old, ...rest } = fields;
  if (!isObject(old)) return rest;
  const { block_type, reduction_factor } = old as AdaptersFields;
  return { inv_adapter: block_type ?? null, inv_adapter_reduction_factor: reduction_factor ?? null, ...rest };
}

/** Checks that each field has the kind of its default. */
function checkKinds(where: string, known: AdaptersFields, fields: AdaptersFields): void {
  const kind = (value: Json): string =>
    Array.isArray(value) ? "list" : value === null ? "null" : typeof value;
  for (const [name, value] of Object.entries(fields)) {
    const free = known[name] === null || FREE.includes(name);
    if (!free && kind(value) !== kind(known[name]!)) {
      throw typeError(
        "FILE_INVALID",
        `Expected the field "${name}" of ${where} to be a ${kind(known[name]!)} but found ${
          JSON.stringify(value)
        }`,
      );
    }
  }
}

const FREE = [
  "reduction_factor",
  "scaling",
  "residual_before_ln",
  "layers",
  "shared_W_phm",
  "learn_phm",
  "phm_bias",
  "original_ln_after",
];

/** The text of a config, with sorted keys as the library writes it. */
export function adaptersConfigText(
  folder: Omit<AdaptersFolder, "configs"> & { readonly source: string },
  config: Json,
  more: AdaptersFields = {},
): string {
  const { name, modelClass, modelType, hiddenSize, version, source } = folder;
  const value = {
    config,
    hidden_size: hiddenSize ?? null,
    model_class: modelClass,
    model_name: source,
    model_type: modelType,
    name,
    version,
    ...more,
  };
  return `${JSON.stringify(sorted(value), null, 2).replace(FLOATS, "$1.0")}\n`;
}

/** Python distinguishes 1 from 1.0, and the library checks which it is. */
const FLOATS = /("(?:scaling|vera_d|vera_b|dropout|stochastic_depth|weights_sharpness)": -?\d+)(?=[,\n])/g;

/** A configuration as in the file. */
export function adaptersConfigJson(configs: readonly AdaptersConfig[]): Json {
  const one = ({ architecture, fields }: AdaptersConfig): Json => ({
    ...fields,
    ...architecture !== "bottleneck" && { architecture },
  });
  return configs.length === 1 ? one(configs[0]!) : { architecture: "union", configs: configs.map(one) };
}
