/**
 * `adapter_config.json` of an HF PEFT folder: read strictly, written as PEFT writes it. PEFT itself ignores
 * unknown fields; here a field that could change what the adapter computes is an error.
 */
import { checkCounts, type Json } from "../core/mod.ts";
import { inactive, sorted } from "./config_fields.ts";
import { peftCounts } from "./counted_fields.ts";
import { isObject, parseJson } from "./strict_json.ts";
import { rangeError, syntaxError, typeError } from "../errors/error.ts";

/** The PEFT version whose folder format this is. */
export const PEFT_VERSION = "0.21.2";

/** Fields common to all methods, with their defaults. */
export const COMMON_FIELDS: Readonly<Record<string, Json>> = {
  auto_mapping: null,
  base_model_name_or_path: null,
  inference_mode: true,
  peft_version: PEFT_VERSION,
  revision: null,
  target_modules: null,
  task_type: null,
};

/** A config as in the file. */
export interface PeftConfig {
  /** `peft_type`. */
  readonly type: string;
  /** Every field of the file. */
  readonly fields: Readonly<Record<string, Json>>;
}

/**
 * Parses a config.
 *
 * @param where Its path, for messages.
 * @throws {SyntaxError} when it is not a JSON object or has no `peft_type`.
 * @throws {RangeError} when a count is above its bound.
 * @example
 * ```ts
 * import { readPeftConfig } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const bytes = new TextEncoder().encode('{ "peft_type": "LORA", "r": 8 }');
 * assert.deepEqual(readPeftConfig("a/adapter_config.json", bytes), { type: "LORA", fields: { r: 8 } });
 * ```
 */
export function readPeftConfig(where: string, bytes: Uint8Array): PeftConfig {
  const value = parseJson(where, bytes);
  if (!isObject(value)) throw syntaxError("FILE_INVALID", `Cannot read ${where}: it is not a JSON object`);
  const { peft_type: type, ...fields } = value;
  if (typeof type !== "string") {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${where}: it has no "peft_type", so it is no PEFT folder's (AdapterHub folders have none)`,
    );
  }
  checkCounts(where, fields, peftCounts(type.toUpperCase()));
  return { type: type.toUpperCase(), fields: fields as Readonly<Record<string, Json>> };
}

/**
 * The config's fields with defaults filled in.
 *
 * @param known Every field of the method with its default.
 * @param refused Fields that must keep their default, with the name of the feature.
 * @throws {RangeError} when a field requests an unsupported feature, or is unknown and enabled.
 * @example
 * ```ts
 * import { knownFields } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const config = { type: "LORA", fields: { r: 16 } };
 * const fields = knownFields(config, { r: 8, use_dora: false }, { use_dora: "DoRA" });
 * assert.deepEqual([fields["r"], fields["use_dora"]], [16, false]);
 * const asking = { type: "LORA", fields: { use_dora: true } };
 * assert.throws(() => knownFields(asking, { r: 8, use_dora: false }, { use_dora: "DoRA" }), RangeError);
 * ```
 */
export function knownFields(
  { type, fields }: PeftConfig,
  known: Readonly<Record<string, Json>>,
  refused: Readonly<Record<string, string>>,
): Readonly<Record<string, Json>> {
  const all = { ...COMMON_FIELDS, ...known };
  for (const [name, value] of Object.entries(fields)) {
    if (inactive(value) || name === "runtime_config") continue; // the latter specifies where to compute, not what
    if (!Object.hasOwn(all, name)) {
      throw rangeError(
        "ADAPTER_UNSUPPORTED",
        `Cannot load this ${type} adapter: the field "${name}" (${
          JSON.stringify(value)
        }) of adapter_config.json is not ` +
          `known and could change what the adapter computes${otherVersion(fields)}`,
      );
    }
    if (Object.hasOwn(refused, name) && JSON.stringify(value) !== JSON.stringify(all[name])) {
      throw rangeError(
        "ADAPTER_UNSUPPORTED",
        `Cannot load this ${type} adapter: the field "${name}" (${
          JSON.stringify(value)
        }) of adapter_config.json asks for ` +
          `${refused[name]}, which is not supported`,
      );
    }
  }
  // Some writers put null where PEFT has a default.
  const given = Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => Object.hasOwn(all, name) && value !== null),
  );
  return { ...all, ...given };
}

/**
 * A note for error messages about a folder written by another version of PEFT; empty for this version, or
 * where the config names none.
 *
 * @example
 * ```ts
 * import { otherVersion, PEFT_VERSION } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.match(otherVersion({ peft_version: "0.30.0" }), /saved by PEFT 0\.30\.0/);
 * assert.equal(otherVersion({ peft_version: PEFT_VERSION }), "");
 * ```
 */
export function otherVersion({ peft_version: version }: Readonly<Record<string, Json>>): string {
  return typeof version !== "string" || version === PEFT_VERSION
    ? ""
    : `; it was saved by PEFT ${version}, and what is known here is PEFT ${PEFT_VERSION}'s`;
}

/** Types whose configs do not name layers. */
const WITHOUT_TARGETS: readonly string[] = [
  "PROMPT_TUNING",
  "P_TUNING",
  "PREFIX_TUNING",
  "MULTITASK_PROMPT_TUNING",
  "CPT",
  "XLORA",
];

/**
 * The text of a config: indented by two spaces, with sorted keys, as PEFT writes it.
 *
 * @example
 * ```ts
 * import { peftConfigText } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const { r, peft_type } = JSON.parse(peftConfigText("LORA", { r: 16 }));
 * assert.deepEqual([r, peft_type], [16, "LORA"]);
 * ```
 */
export function peftConfigText(type: string, fields: Readonly<Record<string, Json>>): string {
  const { target_modules: targets, ...others } = { ...COMMON_FIELDS, ...fields };
  const all = WITHOUT_TARGETS.includes(type) ? others : { ...others, target_modules: targets! };
  return JSON.stringify(sorted({ ...all, peft_type: type }), null, 2);
}

/**
 * A list of names, one name or null, as a list or undefined.
 *
 * @throws {TypeError} when it is something else.
 * @example
 * ```ts
 * import { namesField } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.deepEqual(namesField("modules_to_save", "lm_head"), ["lm_head"]);
 * assert.equal(namesField("modules_to_save", null), undefined);
 * ```
 */
export function namesField(name: string, value: Json | undefined): readonly string[] | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((entry) => typeof entry === "string")) return value as string[];
  throw typeError(
    "FILE_INVALID",
    `Expected the field "${name}" of adapter_config.json to be a list of names but found ${
      JSON.stringify(value)
    }`,
  );
}
