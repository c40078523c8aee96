/** Prompts and answers as rows for an encoder-decoder model. */
import { positive } from "./buckets.ts";
import type { ExampleFile } from "./example_file.ts";
import type { Example } from "./examples.ts";
import { showLocation } from "./jsonl.ts";
import type { Rows } from "./rows.ts";
import { IGNORED } from "./truncation.ts";
import { rangeError } from "../errors/error.ts";

/** How examples become rows. */
export interface Seq2seqOptions {
  /**
   * Maximum number of input tokens, including special ones; longer prompts are truncated at the end, except
   * for the last token.
   */
  readonly maxLength: number;
  /** Maximum number of answer tokens, including the end token; a longer answer is an error. */
  readonly maxAnswerLength: number;
}

/** The tokens of one example: what is read, and what is written. */
interface Seq2seqRow {
  readonly read: readonly number[];
  readonly written: readonly number[];
}

/** What makes tokens of texts, end token included. */
interface Seq2seqTokenizer {
  encode(text: string): readonly number[];
}

/**
 * Rows of prompts (texts, or messages joined one per line) and answers, encoded on demand. The lengths are
 * those of prompt and answer together.
 *
 * @throws {RangeError} when an answer is too long or has no tokens.
 * @example
 * ```ts
 * import { seq2seqRows } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const digits = { encode: (text: string) => [...[...text].map(Number), 1] }; // 1 ends a text
 * const rows = seq2seqRows([{ prompt: "234", answer: "5" }], digits, { maxLength: 3, maxAnswerLength: 4 });
 * const batch = rows.batch!([0], 0);
 * assert.deepEqual(batch.inputIds, [[2, 3, 1]]);
 * assert.deepEqual(batch.labels, [[5, 1]]);
 * ```
 */
export function seq2seqRows(
  examples: readonly Example[] | Pick<ExampleFile, "count" | "example">,
  tokenizer: { encode(text: string): readonly number[] },
  options: Seq2seqOptions,
): Rows {
  positive("maxLength", options.maxLength);
  positive("maxAnswerLength", options.maxAnswerLength);
  const [count, exampleOf] = "count" in examples
    ? [examples.count, (n: number) => examples.example(n)]
    : [examples.length, (n: number) => examples[n]!];
  const rowOf = (n: number): Seq2seqRow => encoded(exampleOf(n), tokenizer, options);
  const lengths = new Uint32Array(count);
  const targets = new Uint32Array(count);
  for (let n = 0; n < count; n++) {
    const { read, written } = rowOf(n);
    lengths[n] = read.length + written.length;
    targets[n] = written.length;
  }
  return {
    count,
    lengths,
    targets,
    // A row without labels is entirely a prompt to be continued.
    tokens: (n) => {
      const { read } = rowOf(n);
      return { inputIds: read, labels: read.map(() => IGNORED) };
    },
    batch: (numbers, pad) => {
      const rows = numbers.map(rowOf);
      const filled = (
        lists: readonly (readonly number[])[],
        filler: number,
      ): readonly (readonly number[])[] => {
        const width = Math.max(...lists.map((list) => list.length));
        return lists.map((list) => [...list, ...new Array<number>(width - list.length).fill(filler)]);
      };
      return {
        inputIds: filled(rows.map(({ read }) => read), pad),
        attentionMask: filled(rows.map(({ read }) => read.map(() => 1)), 0),
        labels: filled(rows.map(({ written }) => written), IGNORED),
      };
    },
  };
}

function encoded(
  { prompt, answer, at }: Example,
  tokenizer: Seq2seqTokenizer,
  { maxLength, maxAnswerLength }: Seq2seqOptions,
): Seq2seqRow {
  const text = typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("\n");
  const [all, written] = [tokenizer.encode(text), tokenizer.encode(answer)];
  const read = all.length <= maxLength ? all : [...all.slice(0, maxLength - 1), ...all.slice(-1)];
  if (written.length === 0 || written.length > maxAnswerLength) {
    throw rangeError(
      "DATA_INVALID",
      `${
        at ? `${showLocation(at)}: ` : ""
      }the answer has ${written.length} tokens but must have 1 to ${maxAnswerLength}`,
    );
  }
  return { read, written };
}
