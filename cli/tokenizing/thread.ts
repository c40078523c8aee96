/** A thread that counts the tokens of examples. */
import { tokenizer, type TokenizerFiles } from "../../formats/tokenizer.ts";
import type { EncodeOptions, Example } from "../../train/mod.ts";
import { rowSize } from "../../train/row_size.ts";
import type { ThisThread } from "../../platform/own_thread.ts";
import { postedError, type ThreadError } from "../thread_errors.ts";

/** What the thread needs to know. */
export interface Tokenizing {
  readonly files: TokenizerFiles;
  readonly options: EncodeOptions;
}

/** Examples whose tokens are to be counted, the first of them with this number. */
export interface Block {
  readonly id: number;
  readonly numbers: readonly number[];
  readonly examples: readonly Example[];
}

/** Their sizes. */
export type Counted =
  | { readonly kind: "counted"; readonly id: number; readonly sizes: readonly (readonly [number, number])[] }
  | { readonly kind: "wrong"; readonly id: number; readonly error: ThreadError };

/** See the module's comment. */
export function countHere(thread: ThisThread): void {
  const { files, options } = thread.data as Tokenizing;
  const made = tokenizer(files);
  thread.listen((message) => {
    const { id, numbers, examples } = message as Block;
    let answer: Counted;
    try {
      const sizes = examples.map((example, i) => rowSize(example, made, options, numbers[i]!));
      answer = { kind: "counted", id, sizes };
    } catch (error) {
      answer = { kind: "wrong", id, error: postedError(error) };
    }
    thread.post(answer);
  });
}
