/**
 * Files of weights, tokenizers and chat templates: bytes to flat named tensors and JSON, and back. Imports
 * only `tensor` and npm packages; independent of backends, models and methods.
 *
 * @example
 * ```ts
 * import { bytesSource, encodeSafetensors, openSafetensors } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const bytes = new Uint8Array(new Float32Array([1, 2]).buffer);
 * const weight = { name: "w", dtype: "f32", shape: [2], byteLength: 8, read: () => bytes } as const;
 * const file = openSafetensors(bytesSource("example", await encodeSafetensors([weight])));
 * assert.deepEqual(file.tensors.get("w")?.read(), bytes);
 * file.close();
 * ```
 * @module
 */
export type { JsonObject, StoredTensor, TensorFile, WritableTensor } from "./tensor_file.ts";
export * from "./byte_source.ts";
export * from "./atomic_write.ts";
export { parseJson } from "./strict_json.ts";
export type { NumberType } from "./plain_numbers.ts";
export * from "./safetensors.ts";
export * from "./safetensors_write.ts";
export { type GgufFile, openGguf } from "./gguf.ts";
export { type GgufItem, type GgufScalar, type GgufValue, plainGgufValue } from "./gguf_metadata.ts";
export * from "./gguf_write.ts";
export * from "./gguf_adapter.ts";
export * from "./gguf_model.ts";
export * from "./gguf_names.ts";
export * from "./gguf_vocabulary.ts";
export * from "./bitsandbytes.ts";
export * from "./bitsandbytes_write.ts";
export * from "./checkpoint.ts";
export * from "./tokenizer.ts";
export type { Wrapped } from "./tokenizer_wrap.ts";
export * from "./gguf_tokenizer.ts";
export * from "./chat_template.ts";
export * from "./peft_config.ts";
export * from "./peft_defaults.ts";
export * from "./peft_keys.ts";
export * from "./peft_targets.ts";
export {
  ADAPTERS_FILES,
  type AdaptersConfig,
  type AdaptersFolder,
  isAdaptersConfig,
  readAdaptersConfig,
} from "./adapters_config.ts";
export { type AdaptersFields, type Architecture as AdaptersArchitecture } from "./adapters_fields.ts";
