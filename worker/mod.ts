/**
 * Training and generation in a worker, by one call each: a program goes on and a page stays awake meanwhile. What crosses is data:
 * where the model lies, a method and its options, rows, options. Progress is an async iterator, a signal ends the work, errors keep
 * their class and code, and the trained adapter comes back as data. Works in Deno, Node, Bun and browsers.
 *
 * @example
 * ```ts
 * import { lora } from "@graft/peft";
 * import { generateInWorker, trainInWorker } from "@graft/peft/worker";
 * import assert from "node:assert/strict";
 * const run = trainInWorker({
 *   model: "embedded/model", // a folder, a GGUF file or a hub id
 *   method: lora({ rank: 4 }),
 *   data: { records: [{ prompt: "customer: hello", completion: "agent: good morning" }], maxLength: 64 },
 *   training: { learningRate: 5e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 2 },
 *   backend: { name: "wasm", threads: 1 },
 * });
 * for await (const { step, totalSteps, loss } of run) console.log(`${step} of ${totalSteps}: ${loss}`);
 * const adapter = await run.result; // data, which `adapterFromData` of `@graft/peft/io` puts on a model here
 * const texts = generateInWorker({ model: "embedded/model", adapter, prompts: ["customer: hello"], maxNewTokens: 4 });
 * for await (const { text } of texts) console.log(text);
 * assert.equal((await texts.result).length, 1);
 * ```
 *
 * @module
 */
import type { GeneratedToken } from "../core/mod.ts";
import type { AdapterData } from "../io/adapter_data.ts";
import type { WorkerGeneration, WorkerStep, WorkerTraining } from "./jobs.ts";
import { recordFrom } from "./record.ts";
import { startJob, type WorkerOptions, type WorkerRun } from "./started.ts";

/**
 * Trains an adapter in a worker of its own, which ends with the run. The same description gives the same bits as `startTraining` in
 * this thread with the same backend.
 *
 * @returns Reports by step, and the adapter as data.
 * @throws {TypeError} CANNOT_SAVE when the method is no data: it has no definition, or an option is a function.
 * @example
 * ```ts
 * import { lora } from "@graft/peft";
 * import { trainInWorker } from "@graft/peft/worker";
 * import assert from "node:assert/strict";
 * const stop = new AbortController();
 * const run = trainInWorker({
 *   model: "embedded/model",
 *   method: lora({ rank: 2 }),
 *   data: [{ inputIds: [5, 6, 7, 8], labels: [5, 6, 7, 8] }],
 *   training: { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 1000 },
 *   backend: { name: "wasm", threads: 1 },
 * }, { signal: stop.signal });
 * const losses: number[] = [];
 * await assert.rejects(async () => {
 *   for await (const { loss } of run) if (losses.push(loss) === 3) stop.abort();
 * }, { name: "AbortError" });
 * assert.ok(losses.length >= 3);
 * ```
 */
export function trainInWorker(
  run: WorkerTraining,
  options: WorkerOptions = {},
): WorkerRun<WorkerStep, AdapterData> {
  return startJob({ kind: "train", run: { ...run, method: recordFrom(run.method) } }, options);
}

/**
 * Continues texts in a worker of its own, which ends with the last one.
 *
 * @returns Tokens as they are generated, and a text for each prompt.
 * @example
 * ```ts
 * import { errorCode } from "@graft/peft";
 * import { generateInWorker } from "@graft/peft/worker";
 * import assert from "node:assert/strict";
 * const { result } = generateInWorker({ model: "no/such/folder", prompts: ["hello"], maxNewTokens: 4 });
 * assert.equal(await result.catch(errorCode), "MODEL_NOT_FOUND");
 * ```
 */
export function generateInWorker(
  run: WorkerGeneration,
  options: WorkerOptions = {},
): WorkerRun<GeneratedToken, readonly string[]> {
  return startJob({ kind: "generate", run }, options);
}

export type * from "./jobs.ts";
export type { WorkerOptions, WorkerRun } from "./started.ts";
export type { WebWorker } from "../platform/program_worker.ts";
export type { AdapterData, TensorData } from "../io/adapter_data.ts";
export type { ModelFiles } from "../io/model_files.ts";
export type { MethodRecord } from "../io/records/method_record.ts";
