/** Tokenized examples on demand: sizes are known, tokens are made when a batch needs them, so data may exceed memory. */
import type { Batch } from "../core/mod.ts";
import type { ExampleFile } from "./example_file.ts";
import { encodeExample, type EncodeOptions, type ExampleTokenizer } from "./encode.ts";
import { targetCount, type Tokens } from "./truncation.ts";

/** Tokenized examples. */
export interface Rows {
  /** How many there are. */
  readonly count: number;
  /** Tokens in each. */
  readonly lengths: ArrayLike<number>;
  /** Labelled tokens in each. */
  readonly targets: ArrayLike<number>;
  /** Ids and labels of row n. */
  tokens(n: number): Tokens;
  /** The batch of some rows, where it is not one of texts that are continued; `pad` is the token to pad with. */
  batch?(numbers: readonly number[], pad: number): Batch;
}

/** Encodes every example once for its sizes, and again when it is asked for. @throws as `encodeExample`, naming the line. */
export function rowsOf(examples: ExampleFile, tokenizer: ExampleTokenizer, options: EncodeOptions): Rows {
  const lengths = new Uint32Array(examples.count);
  const targets = new Uint32Array(examples.count);
  const tokens = (n: number): Tokens => encodeExample(examples.example(n), tokenizer, options);
  for (let n = 0; n < examples.count; n++) {
    const { inputIds, labels } = tokens(n);
    lengths[n] = inputIds.length;
    targets[n] = targetCount(labels);
  }
  return { count: examples.count, lengths, targets, tokens };
}

/** Some of the rows, by number. */
export function pickRows(rows: Rows, numbers: readonly number[]): Rows {
  return {
    count: numbers.length,
    lengths: Uint32Array.from(numbers, (n) => rows.lengths[n]!),
    targets: Uint32Array.from(numbers, (n) => rows.targets[n]!),
    tokens: (i) => rows.tokens(numbers[i]!),
    ...rows.batch && { batch: (some, pad) => rows.batch!(some.map((i) => numbers[i]!), pad) },
  };
}

/** Rows already tokenized. */
export function rowsFrom(tokens: readonly Tokens[]): Rows {
  return {
    count: tokens.length,
    lengths: tokens.map((t) => t.inputIds.length),
    targets: tokens.map((t) => targetCount(t.labels)),
    tokens: (n) => tokens[n]!,
  };
}
