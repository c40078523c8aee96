/**
 * graft: parameter-efficient fine-tuning of language models in TypeScript.
 *
 * @module
 */
export * from "./core/mod.ts";
export * from "./methods/mod.ts";
export { reference } from "./ops/reference/mod.ts";
export { loadModel, type LoadOptions } from "./io/load_model.ts";
