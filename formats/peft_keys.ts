/** Keys of `adapter_model.safetensors`, and valid adapter names for PEFT folders. */
import { rangeError } from "../errors/error.ts";

/** PEFT's prefix of a module's path. */
export const PEFT_PREFIX = "base_model.model.";

/**
 * A key without the prefix; layers injected without a PeftModel have none.
 *
 * @example
 * ```ts
 * import { withoutPrefix } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(withoutPrefix("base_model.model.lm_head.lora_A.weight"), "lm_head.lora_A.weight");
 * ```
 */
export function withoutPrefix(key: string): string {
  return key.startsWith(PEFT_PREFIX) ? key.slice(PEFT_PREFIX.length) : key;
}

/** The key of the rows of prompts and prefixes, which has no prefix. */
export const PROMPT_KEY = "prompt_embeddings";

/** Every key without a prefix: the rows, and the factors of multitask prompt tuning. */
const BARE_KEYS: readonly string[] = [PROMPT_KEY, "prefix_task_cols", "prefix_task_rows"];

/**
 * A key as in the file. Keys of tensors outside the model's own modules already have a shortened prefix.
 *
 * @example
 * ```ts
 * import { withPrefix } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(withPrefix("lm_head.lora_A.weight"), "base_model.model.lm_head.lora_A.weight");
 * assert.equal(withPrefix("prompt_embeddings"), "prompt_embeddings");
 * ```
 */
export function withPrefix(key: string): string {
  return key.startsWith("base_model.") || BARE_KEYS.includes(key) ? key : PEFT_PREFIX + key;
}

/** The file that holds the tensors, the config's file, and the pickled file of old folders. */
export const PEFT_FILES = {
  weights: "adapter_model.safetensors",
  config: "adapter_config.json",
  pickle: "adapter_model.bin",
} as const;

const OWN_SEGMENTS = [
  "base_model.model.base_layer.weight.bias",
  "modules_to_save.token_adapter.trainable_tokens_delta",
  "lora_A.lora_B.lora_embedding_A.lora_embedding_B.lora_magnitude_vector",
  "ia3_l",
] as const;

/**
 * The prefix of the names of a method's tensors in PEFT. An adapter name contained in it is mistaken for a
 * part of it on loading.
 *
 * @example
 * ```ts
 * import { peftPrefix } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(peftPrefix("LORA"), "lora_");
 * assert.equal(peftPrefix("IA3"), "ia3_");
 * ```
 */
export function peftPrefix(type: string): string {
  switch (type) {
    case "LORA":
    case "ADALORA":
      return "lora_";
    case "LOHA":
      return "hada_";
    case "VERA":
      return "vera_lambda_";
    case "PVERA":
      return "pvera_lambda_";
    default:
      return `${type.toLowerCase()}_`;
  }
}

/**
 * Refuses adapter names under which PEFT would lose or misread weights. When PEFT saves one of several
 * adapters it drops every key that contains the name of another between dots: adapters "0" and "1" lose whole
 * layers.
 *
 * @param modules Paths of the model's modules.
 * @param own The adapter's `peft_type`, default "LORA", and the keys of its tensors.
 * @throws {RangeError} for such names, with the reason.
 * @example
 * ```ts
 * import { checkAdapterName } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * checkAdapterName("german", ["model.layers.0.self_attn.q_proj"]);
 * // Under a name that stands in every path PEFT would lose layers.
 * assert.throws(() => checkAdapterName("0", ["model.layers.0.self_attn.q_proj"]), RangeError);
 * ```
 */
export function checkAdapterName(
  name: string,
  modules: readonly string[],
  { type = "LORA", keys = [] }: { readonly type?: string; readonly keys?: readonly string[] } = {},
): void {
  const refuse = (why: string): never => {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save an adapter under the name "${name}": ${why}; choose another name`,
    );
  };
  if (!/^[^./\\\0][^./\\\0]*$/.test(name)) refuse("it must be a folder's name without dots and slashes");
  if (peftPrefix(type).includes(name)) refuse("PEFT refuses names that are part of its own key names");
  const segments = new Set([...modules, ...OWN_SEGMENTS, ...keys].flatMap((path) => path.split(".")));
  if (segments.has(name)) {
    refuse(
      `the model has a module of that name, or the adapter a tensor, and PEFT drops keys with ".${name}." when it saves`,
    );
  }
}
