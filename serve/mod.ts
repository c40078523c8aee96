/**
 * Concurrent generation of many texts, each with the adapter that it names, and OpenAI's HTTP interface to
 * it: the implementation of `graft serve`. Imports `core`, `ops`, `formats` and `models`.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { engine } from "@graft/peft/serve";
 * import assert from "node:assert/strict";
 * const tokenizer = { encode: () => [1], decode: (ids: readonly number[]) => ids.join(" ") };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0, tokenizer });
 * const writer = engine(model, { adapters: {}, rows: 4, queue: 16 });
 * const { written } = writer.submit({ prompt: [1, 2, 3], adapter: null, maxTokens: 4, seed: 0, stop: [] });
 * assert.equal((await written).tokens, 4);
 * await writer.close();
 * ```
 *
 * @module
 */
export { Cancelled, type Engine, engine, type EngineOptions, type PendingText, QueueFull } from "./engine.ts";
export { respond } from "./handler.ts";
export { withCors } from "./cors.ts";
export { type Service } from "./service.ts";
export type { VectorMaker } from "./embeddings.ts";
export type { Job, Written } from "./text_job.ts";
