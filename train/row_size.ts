/** How long the row of an example is. */
import { encodeExample } from "./encode.ts";
import type { EncodeOptions, ExampleTokenizer } from "./example_tokenizer.ts";
import type { Example } from "./examples.ts";
import { showLocation } from "./jsonl.ts";
import { targetCount } from "./truncation.ts";
import { rangeError } from "../errors/error.ts";

/**
 * The tokens and the labelled tokens of an example's row.
 *
 * @param n Its number from 0, named where the example has no place.
 * @throws as `encodeExample`; {RangeError} when nothing of it is trained.
 */
export function rowSize(
  example: Example,
  tokenizer: ExampleTokenizer,
  options: EncodeOptions,
  n: number,
): readonly [length: number, targets: number] {
  const { inputIds, labels } = encodeExample(example, tokenizer, options);
  const targets = targetCount(labels);
  if (targets === 0) {
    const { at } = example;
    throw rangeError(
      "DATA_INVALID",
      `${at ? showLocation(at) : `row ${n + 1}`}: no token is trained: nothing in it is an answer`,
    );
  }
  return [inputIds.length, targets];
}
