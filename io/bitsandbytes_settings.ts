/**
 * The settings of a bitsandbytes checkpoint besides its weights. A model loaded from one that still has its
 * type is saved with the same settings: the storage of codes, the compute dtype of other programs, and the
 * threshold of int8's outliers, which affects what they compute.
 */
import type { Model } from "../core/mod.ts";
import type { CodeStorage } from "../formats/bitsandbytes_write.ts";
import { isObject } from "../formats/strict_json.ts";
import type { JsonObject } from "../formats/tensor_file.ts";

/** Fields that a saved model keeps, by the flag of their type. */
const KEPT = {
  load_in_4bit: ["bnb_4bit_compute_dtype", "bnb_4bit_quant_storage"],
  load_in_8bit: ["llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_enable_fp32_cpu_offload"],
} as const;

/** The fields of the model's original config, where they belong to its type. */
export function keptSettings({ config }: Model, dtype: string): JsonObject {
  const given = config["quantization_config"];
  if (!isObject(given) || given["quant_method"] !== "bitsandbytes") return {};
  const flag = dtype === "int8" ? "load_in_8bit" : "load_in_4bit";
  const type = given[flag] === true &&
    (dtype === "int8" || (given["bnb_4bit_quant_type"] === dtype.slice(0, 3) &&
      given["bnb_4bit_use_double_quant"] === dtype.endsWith("double")));
  if (!type) return {};
  return Object.fromEntries(
    KEPT[flag].flatMap((name) => given[name] === undefined ? [] : [[name, given[name]]]),
  );
}

/** The dtype in which codes are stored with these settings. */
export function storageOf({ bnb_4bit_quant_storage: storage }: JsonObject): CodeStorage {
  return storage === "bfloat16" || storage === "float16" || storage === "float32" ? storage : "uint8";
}

/**
 * A config in the form that transformers accepts: it requires a float for the threshold, and our JSON has no
 * 6.0.
 */
export function configText(config: JsonObject): string {
  return `${JSON.stringify(config, null, 2)}\n`
    .replace(/("llm_int8_threshold": -?\d+)(,?)$/m, "$1.0$2");
}
