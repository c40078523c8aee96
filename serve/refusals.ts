/** Why a text is not written. */

/**
 * Thrown when the queue is full.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { engine, QueueFull } from "@graft/peft/serve";
 * import assert from "node:assert/strict";
 * const tokenizer = { encode: () => [1], decode: (ids: readonly number[]) => ids.join(" ") };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0, tokenizer });
 * const writer = engine(model, { adapters: {}, rows: 1, queue: 0 });
 * const job = { prompt: [1, 2], adapter: null, maxTokens: 2, seed: 0, stop: [] };
 * const { written } = writer.submit(job);
 * assert.throws(() => writer.submit(job), QueueFull); // one is written, none may wait
 * await written;
 * await writer.close();
 * ```
 */
export class QueueFull extends Error {
  /** What went wrong, for programs. */
  readonly code: "QUEUE_FULL" = "QUEUE_FULL";

  /** Identifies the error class. */
  override readonly name = "QueueFull";
}

/**
 * Thrown when a text was cancelled.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { Cancelled, engine } from "@graft/peft/serve";
 * import assert from "node:assert/strict";
 * const tokenizer = { encode: () => [1], decode: (ids: readonly number[]) => ids.join(" ") };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0, tokenizer });
 * const writer = engine(model, { adapters: {}, rows: 1, queue: 1 });
 * const { written, cancel } = writer.submit({ prompt: [1, 2], adapter: null, maxTokens: 9, seed: 0, stop: [] });
 * cancel();
 * await assert.rejects(written, Cancelled);
 * await writer.close();
 * ```
 */
export class Cancelled extends Error {
  /** What went wrong, for programs. */
  readonly code: "CANCELLED" = "CANCELLED";

  /** Identifies the error class. */
  override readonly name = "Cancelled";
}
