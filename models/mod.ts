/**
 * Models: forward passes over weight trees under the checkpoint's own names. Imports only `core` and `ops`.
 *
 * @module
 */
export * from "./llama.ts";
export * from "./gemma.ts";
export * from "./gpt2.ts";
export * from "./bert.ts";
export { bertSavedName, bertSpec, bertWeightPath } from "./bert_spec.ts";
export * from "./context_length.ts";
export * from "./embed.ts";
export * from "./t5.ts";
export { t5Spec, t5WeightPath } from "./t5_spec.ts";
export * from "./architecture.ts";
export * from "./fresh.ts";
export * from "./small_config.ts";
export * from "./task.ts";
export * from "./bare_pass.ts";
export * from "./block_places.ts";
export * from "./replicate_layers.ts";
export * from "./vocabulary_logits.ts";
export * from "./stack.ts";
