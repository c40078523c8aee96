/** Threads that count the tokens of examples, a block of them at a time. */
import { startOwnThread } from "../../platform/own_thread.ts";
import type { Example } from "../../train/mod.ts";
import { errorOf, type ThreadError } from "../thread_errors.ts";
import type { Block, Counted, Tokenizing } from "./thread.ts";

/** Tokens of a row, and how many of them are labelled. */
export type Size = readonly [length: number, targets: number];

/** See the module's comment. */
export interface TokenizerPool {
  /** Threads. */
  readonly size: number;
  /** The sizes of examples in their order. @throws what is wrong with the first that cannot be encoded. */
  count(numbers: readonly number[], examples: readonly Example[]): Promise<readonly Size[]>;
  /** Ends the threads. What they still count is never told. */
  end(): Promise<void>;
}

/** Starts the threads. */
export function tokenizerPool(threads: number, tokenizing: Tokenizing): TokenizerPool {
  const awaited = new Map<number, PromiseWithResolvers<readonly Size[]>>();
  let next = 0;
  const fail = (error: unknown): void => {
    for (const { reject } of awaited.values()) reject(error);
    awaited.clear();
  };
  const hear = (message: unknown): void => {
    const heard = message as Counted | ThreadError;
    if (heard.kind === "failed") return fail(errorOf(heard));
    const block = awaited.get(heard.id);
    awaited.delete(heard.id);
    if (heard.kind === "wrong") block?.reject(errorOf(heard.error));
    else block?.resolve(heard.sizes);
  };
  const main = new URL("../main.ts", import.meta.url);
  const started = Array.from(
    { length: threads },
    () => startOwnThread(main, "tokenize", tokenizing, hear, fail),
  );
  return {
    size: threads,
    count: (numbers, examples) => {
      const id = next++;
      const block = Promise.withResolvers<readonly Size[]>();
      awaited.set(id, block);
      const message: Block = { id, numbers, examples };
      started[id % threads]!.post(message);
      return block.promise;
    },
    end: async () => {
      awaited.clear();
      await Promise.all(started.map((thread) => thread.end()));
    },
  };
}
