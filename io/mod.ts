/**
 * Connects formats, models and methods: loading and saving models and adapters as folders, files and from the
 * hub; the state of a training run on disk; inspection of files without loading them. Imports `core`,
 * `formats`, `models` and `methods`.
 *
 * @example
 * ```ts
 * import { hubId } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * assert.deepEqual(hubId("org/name@v1"), { name: "org/name", revision: "v1" });
 * assert.equal(hubId("./folder"), undefined);
 * ```
 *
 * @module
 */
export type { Making } from "./adapter_card.ts";
export { type AdapterData, adapterData, adapterFromData, type TensorData } from "./adapter_data.ts";
export { type ModelFiles, modelFromFiles } from "./model_files.ts";
export * from "./load_model.ts";
export * from "./load_adapter.ts";
export type { NamedFolderOptions } from "./named_folder.ts";
export * from "./save_model.ts";
export * from "./save_adapter.ts";
export type { MethodRecord } from "./records/method_record.ts";
export { type KnownMethods, knownMethods, type OwnMethod } from "./records/known_methods.ts";
export { advisedSampler } from "./generation_config.ts";
export { modelOfAdapter } from "./layer_replication.ts";
export { download, type DownloadOptions, type DownloadProgress, type HubId, hubId } from "./hub/download.ts";
export type { EmbeddingForm } from "./embedding_form.ts";
export {
  type Embedder,
  embedderOf,
  embedTexts,
  loadEmbedder,
  saveEmbedder,
} from "./sentence_transformers.ts";
export { downloadDataSet } from "./hub/data_set.ts";
export {
  type AdapterDescription,
  type AdaptersDescription,
  type Contents,
  type Description,
  inspectPath,
  type ModelDescription,
  type TensorsDescription,
} from "./inspect.ts";
export { checkpointShapes, configShapes, type ShapeOptions } from "./model_shapes.ts";
export * from "./training_state.ts";
