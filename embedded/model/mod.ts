/**
 * graft's embedded model: 2.2 million parameters that know customers' conversations and nothing else, to try things with.
 *
 * @example
 * ```ts ignore
 * import { loadModel, wasm } from "@graft/peft";
 * import { folder } from "@graft/embedded-model";
 * import { fileURLToPath } from "node:url";
 *
 * const model = await loadModel(fileURLToPath(folder), { backend: await wasm() });
 * ```
 *
 * @module
 */

/** The address of the folder with the model's files: config.json, model.safetensors, tokenizer.json, tokenizer_config.json. */
export const folder: string = new URL("./", import.meta.url).href;
