/** Work that an `AbortSignal` ends. */

/**
 * Lets pending events be handled, of which an abort is one, and throws the signal's reason where it is aborted. Between steps of
 * a synchronous backend nothing else lets them. Without a signal nothing happens, and no time is taken.
 *
 * @throws what the signal was aborted with, by default an `AbortError`.
 * @example
 * ```ts
 * import { heed } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const controller = new AbortController();
 * setTimeout(() => controller.abort(), 0);
 * const work = async () => { for (;;) await heed(controller.signal); };
 * await assert.rejects(work(), { name: "AbortError" });
 * ```
 */
export async function heed(signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return;
  signal.throwIfAborted();
  await new Promise((resolve) => setTimeout(resolve, 0));
  signal.throwIfAborted();
}
