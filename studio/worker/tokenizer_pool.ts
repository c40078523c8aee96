/**
 * Counts the tokens of examples on the worker's own thread, a block at a time, so that what the page asks for is heard in between.
 * Replaces `cli/tokenizing/pool.ts`, whose threads are a machine's.
 */
import { tokenizer } from "../../formats/tokenizer.ts";
import { events } from "../../recipes/supervised.ts";
import { rowSize } from "../../train/row_size.ts";
import type { TokenizerPool } from "../../cli/tokenizing/pool.ts";
import type { Tokenizing } from "../../cli/tokenizing/thread.ts";

/** See the module's comment. */
export function tokenizerPool(_threads: number, { files, options }: Tokenizing): TokenizerPool {
  const made = tokenizer(files);
  return {
    size: 1,
    count: async (numbers, examples) => {
      await events();
      return examples.map((example, i) => rowSize(example, made, options, numbers[i]!));
    },
    end: () => Promise.resolve(),
  };
}
