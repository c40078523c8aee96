/** Keys of `adapter_model.safetensors`, and names that an adapter in a PEFT folder may have. */

/** What PEFT puts before a module's path. */
export const PEFT_PREFIX = "base_model.model.";

/** A key without the prefix; layers that were injected without a PeftModel have none. */
export function withoutPrefix(key: string): string {
  return key.startsWith(PEFT_PREFIX) ? key.slice(PEFT_PREFIX.length) : key;
}

/** The one key without a prefix: the rows of prompts and prefixes. */
export const PROMPT_KEY = "prompt_embeddings";

/** A key as it stands in the file. What PEFT keeps outside the model's own modules has the prefix already, cut short. */
export function withPrefix(key: string): string {
  return key.startsWith("base_model.") || key === PROMPT_KEY ? key : PEFT_PREFIX + key;
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
 * Refuses adapter names under which PEFT would lose or misread weights. When it saves one of several adapters it drops
 * every key with the name of another between dots: adapters "0" and "1" lose whole layers.
 *
 * @param modules Paths of the model's modules.
 * @throws {RangeError} with the reason.
 */
export function checkAdapterName(name: string, modules: readonly string[]): void {
  const refuse = (why: string): never => {
    throw new RangeError(`Cannot save an adapter under the name "${name}": ${why}; choose another name`);
  };
  if (!/^[^./\\\0][^./\\\0]*$/.test(name)) refuse("it must be a folder's name without dots and slashes");
  if ("lora_".includes(name) || "ia3_".includes(name)) {
    refuse("PEFT refuses names that are part of its own key names");
  }
  const segments = new Set([...modules, ...OWN_SEGMENTS].flatMap((path) => path.split(".")));
  if (segments.has(name)) {
    refuse(`the model has a module of that name, and PEFT drops keys with ".${name}." when it saves`);
  }
}
