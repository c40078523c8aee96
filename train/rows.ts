/**
 * Tokenized examples on demand: sizes are known, tokens are computed when a batch needs them, so data may
 * exceed memory.
 */
import type { Batch } from "../core/mod.ts";
import type { ExampleFile } from "./example_file.ts";
import { encodeExample } from "./encode.ts";
import type { EncodeOptions, ExampleTokenizer } from "./example_tokenizer.ts";
import { targetCount, type Tokens } from "./truncation.ts";
import { rowSize } from "./row_size.ts";

/** Tokenized examples. */
export interface Rows {
  /** Number of examples. */
  readonly count: number;
  /** Number of tokens in each. */
  readonly lengths: ArrayLike<number>;
  /** Number of labelled tokens in each. */
  readonly targets: ArrayLike<number>;
  /**
   * Where sizes come to be known while others use the rows: waits for those of some rows, by default of all. Until then they
   * are 0. Absent where all are known.
   *
   * @throws what is wrong with the first row that cannot be encoded.
   */
  sized?(numbers?: readonly number[]): Promise<void>;
  /** Whether the rows of a micro-batch are compared with each other, so that it must stay whole. */
  readonly together?: true;
  /** How many texts of its length a row is in a batch; default 1. */
  readonly textsInRow?: number;
  /** Ids and labels of row n. */
  tokens(n: number): Tokens;
  /** The batch of some rows, where it is not a language modelling batch; `pad` is the token to pad with. */
  batch?(numbers: readonly number[], pad: number): Batch;
}

/**
 * Encodes every example once for its sizes, and again when it is requested.
 *
 * @throws as `encodeExample`, naming the line.
 * @example
 * ```ts
 * import { openExamples, rowsOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const digits = { encode: (text: string) => [...text].map(Number), chat: () => "", eos: 9 };
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"prompt": "12", "completion": "3"}\n');
 * using examples = await openExamples(file);
 * const rows = rowsOf(examples, digits, { maxLength: 8, longPrompt: "refuse" });
 * assert.deepEqual([rows.count, rows.lengths[0], rows.targets[0]], [1, 4, 2]); // 1 2 3 9: 3 and 9 are learnt
 * await Deno.remove(file);
 * ```
 */
export function rowsOf(
  examples: ExampleFile,
  tokenizer: ExampleTokenizer,
  options: EncodeOptions & {
    /** Called after every hundredth example or so with the number that are encoded. */
    readonly encoded?: (count: number) => void;
  },
): Rows {
  const lengths = new Uint32Array(examples.count);
  const targets = new Uint32Array(examples.count);
  const tokens = (n: number): Tokens => encodeExample(examples.example(n), tokenizer, options);
  for (let n = 0; n < examples.count; n++) {
    [lengths[n], targets[n]] = rowSize(examples.example(n), tokenizer, options, n);
    if (n % 100 === 99) options.encoded?.(n + 1);
  }
  return { count: examples.count, lengths, targets, tokens };
}

/**
 * Some of the rows, by index.
 *
 * @example
 * ```ts
 * import { pickRows, rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = rowsFrom([[1, 2], [3, 4, 5]].map((inputIds) => ({ inputIds, labels: inputIds })));
 * assert.deepEqual(pickRows(rows, [1]).tokens(0).inputIds, [3, 4, 5]);
 * ```
 */
export function pickRows(rows: Rows, numbers: readonly number[]): Rows {
  const lengths = Uint32Array.from(numbers, (n) => rows.lengths[n]!);
  const targets = Uint32Array.from(numbers, (n) => rows.targets[n]!);
  return {
    count: numbers.length,
    lengths,
    targets,
    tokens: (i) => rows.tokens(numbers[i]!),
    ...rows.sized && {
      sized: async (some) => {
        await rows.sized!(some?.map((i) => numbers[i]!) ?? numbers);
        for (const i of some ?? numbers.keys()) {
          lengths[i] = rows.lengths[numbers[i]!]!;
          targets[i] = rows.targets[numbers[i]!]!;
        }
      },
    },
    ...rows.together && { together: rows.together },
    ...rows.textsInRow !== undefined && { textsInRow: rows.textsInRow },
    ...rows.batch && { batch: (some, pad) => rows.batch!(some.map((i) => numbers[i]!), pad) },
  };
}

/**
 * Rows already tokenized.
 *
 * @example
 * ```ts
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = rowsFrom([{ inputIds: [5, 6, 7], labels: [-100, -100, 7] }]);
 * assert.deepEqual([rows.count, rows.lengths[0], rows.targets[0]], [1, 3, 1]);
 * ```
 */
export function rowsFrom(tokens: readonly Tokens[]): Rows {
  return {
    count: tokens.length,
    lengths: tokens.map((t) => t.inputIds.length),
    targets: tokens.map((t) => targetCount(t.labels)),
    tokens: (n) => tokens[n]!,
  };
}
