/**
 * graft: parameter-efficient fine-tuning of language models in TypeScript. Load a model, graft an adapter onto it by any
 * method, train it, merge it, save it for Python PEFT or llama.cpp.
 *
 * @example
 * ```ts
 * import { adapt, count, freshModel, graft, lora, smallConfig, wasm } from "@graft/peft";
 * import assert from "node:assert/strict";
 *
 * const backend = await wasm();
 * const model = freshModel(smallConfig("llama"), { backend, key: 0 }); // or await loadModel("folder, file.gguf or hub id", { backend })
 * const adapter = adapt(model, lora({ rank: 4 }));
 * const tuned = graft(model, adapter);
 * assert.equal(count(model, adapter).trainable, 2 * 2 * 4 * (16 + 16)); // q and v in two layers
 * backend.close();
 * ```
 *
 * @module
 */
export { type CodedError, type ErrorCode, errorCode, withCode } from "./errors/error.ts";
export * from "./tensor/mod.ts";
export * from "./core/linear_maps/mod.ts";
export * from "./core/edits/mod.ts";
export * from "./core/trees/mod.ts";
export * from "./core/adapters/mod.ts";
export * from "./core/combinators/mod.ts";
export * from "./core/running/mod.ts";
export * from "./methods/mod.ts";
export { freshModel, type FreshOptions } from "./models/fresh.ts";
export { smallConfig, type SmallSizes } from "./models/small_config.ts";
export { embed, type EmbedOptions } from "./models/embed.ts";
export { type LayerRange, replicateLayers } from "./models/replicate_layers.ts";
export { classNames, headModules, type Task } from "./models/task.ts";
export { auto, type AutoOptions } from "./ops/auto/mod.ts";
export { reference } from "./ops/reference/mod.ts";
export { gpu, type GpuBackend, type GpuOptions } from "./ops/gpu/mod.ts";
export { native, type NativeOptions } from "./ops/native/mod.ts";
export { wasm, type WasmOptions } from "./ops/wasm/mod.ts";
export { loadModel, type LoadOptions } from "./io/load_model.ts";
export { loadAdapter, type LoadAdapterOptions } from "./io/load_adapter.ts";
export type { Making } from "./io/adapter_card.ts";
export { saveAdapter, type SaveAdapterOptions } from "./io/save_adapter.ts";
export { saveModel, type SaveModelOptions } from "./io/save_model.ts";
export { openExamples } from "./train/example_file.ts";
export { batchOf, startTraining } from "./train/loop.ts";
export { adamw, adamw8bit, type Optimizer, sgd } from "./train/optimizer.ts";
export { type Rows, rowsOf } from "./train/rows.ts";
export { constant, cosine, type Schedule } from "./train/schedule.ts";
export type { Resume, Snapshot, StepReport, Training, TrainOptions } from "./train/training.ts";
export { type DiffPruningRecipe, trainDiffPruning } from "./recipes/diff_pruning.ts";
export { type FarRecipe, trainFar } from "./recipes/far.ts";
export {
  type IntrinsicDimension,
  intrinsicDimension,
  type IntrinsicDimensionOptions,
  type IntrinsicPoint,
  type IntrinsicRun,
  type IntrinsicTask,
} from "./recipes/intrinsic_dimension.ts";
export { type LtSftRecipe, trainLtSft } from "./recipes/lt_sft.ts";
export type { StageOptions } from "./recipes/stage.ts";
