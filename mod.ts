/**
 * graft: parameter-efficient fine-tuning of language models in TypeScript.
 *
 * @module
 */
export * from "./core/mod.ts";
export * from "./methods/mod.ts";
export { reference } from "./ops/reference/mod.ts";
export { loadModel, type LoadOptions } from "./io/load_model.ts";
export { loadAdapter, type LoadAdapterOptions } from "./io/load_adapter.ts";
export { saveAdapter, type SaveAdapterOptions } from "./io/save_adapter.ts";
export { saveModel, type SaveModelOptions } from "./io/save_model.ts";
