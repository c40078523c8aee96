/** Labelled examples as rows for a classifier or tagger. */
import type { Batch } from "../core/mod.ts";
import { positive } from "./buckets.ts";
import { showLocation } from "./jsonl.ts";
import type { LabelledExample } from "./labelled_examples.ts";
import type { LabelledExamples } from "./labelled_file.ts";
import { shortened } from "./pair_truncation.ts";
import type { Rows } from "./rows.ts";
import { IGNORED } from "./truncation.ts";
import { rangeError } from "../errors/error.ts";

/** The interface required of a tokenizer. */
export interface LabelTokenizer {
  /** Ids of a text without special tokens. */
  encode(text: string, options: { readonly addSpecialTokens: false }): readonly number[];
  /** Special tokens around one text, or two. */
  wrap(
    first: readonly number[],
    second?: readonly number[],
  ): { readonly ids: readonly number[]; readonly typeIds: readonly number[] };
}

/** How examples become rows. */
export interface LabelledRowOptions {
  /** Maximum number of tokens in a row, including special ones; longer texts are truncated at the end. */
  readonly maxLength: number;
  /** The classes in the order of their ids, as the model has them. Not for scores. */
  readonly names?: readonly string[];
}

/** One encoded example. */
interface LabelledRow {
  readonly inputIds: readonly number[];
  readonly typeIds: readonly number[];
  /** A class, a score, 1 or 0 for each class, or a class for each token. */
  readonly label: number | readonly number[];
  /** Whether the label is one for each token. */
  readonly tagged?: true;
}

/**
 * Rows of labelled examples, encoded on demand. The first of a word's tokens has its tag, the others none, as
 * in transformers' examples.
 *
 * @throws {RangeError} when a class is not among the names, or the special tokens alone fill a row.
 * @example
 * ```ts
 * import { labelledRows } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const tokenizer = { // 1 … 2, as [CLS] … [SEP]
 *   encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0)),
 *   wrap: (first: readonly number[]) => ({ ids: [1, ...first, 2], typeIds: [0, ...first.map(() => 0), 0] }),
 * };
 * const examples = [{ kind: "class", text: "AB", label: "good" }] as const;
 * const rows = labelledRows(examples, tokenizer, { maxLength: 8, names: ["bad", "good"] });
 * assert.deepEqual(rows.batch!([0], 0), { inputIds: [[1, 65, 66, 2]], attentionMask: [[1, 1, 1, 1]], labels: [1] });
 * ```
 */
export function labelledRows(
  examples: readonly LabelledExample[] | LabelledExamples,
  tokenizer: LabelTokenizer,
  options: LabelledRowOptions,
): Rows {
  positive("maxLength", options.maxLength);
  const ids = new Map((options.names ?? []).map((name, id) => [name, id]));
  const [count, exampleOf] = "count" in examples
    ? [examples.count, (n: number) => examples.example(n)]
    : [examples.length, (n: number) => examples[n]!];
  const rowOf = (n: number): LabelledRow => encoded(exampleOf(n), tokenizer, options.maxLength, ids);
  const lengths = new Uint32Array(count);
  const targets = new Uint32Array(count);
  for (let n = 0; n < count; n++) {
    const { inputIds, label, tagged } = rowOf(n);
    lengths[n] = inputIds.length;
    targets[n] = tagged ? (label as readonly number[]).filter((id) => id !== IGNORED).length : 1;
  }
  return {
    count,
    lengths,
    targets,
    tokens: (n) => {
      const { inputIds, label } = rowOf(n);
      return { inputIds, labels: typeof label === "number" ? [label] : label };
    },
    batch: (numbers, pad) => collated(numbers.map(rowOf), pad),
  };
}

function encoded(
  example: LabelledExample,
  tokenizer: LabelTokenizer,
  maxLength: number,
  ids: ReadonlyMap<string, number>,
): LabelledRow {
  const plain = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const where = example.at === undefined ? "" : `${showLocation(example.at)}: `;
  const room = (added: number): number => {
    if (added >= maxLength) {
      throw rangeError(
        "TEXT_TOO_LONG",
        `${where}the ${added} special tokens fill a row of ${maxLength}: raise maxLength`,
      );
    }
    return maxLength - added;
  };
  const classOf = (name: string): number => {
    const id = ids.get(name);
    if (id === undefined) {
      throw rangeError(
        "DATA_INVALID",
        `${where}"${name}" is none of the classes ${[...ids.keys()].join(", ")}`,
      );
    }
    return id;
  };
  if (example.kind === "tags") {
    const pieces = example.words.map(plain);
    const tags = pieces.flatMap((ids, i) => ids.map((_, j) => j === 0 ? classOf(example.tags[i]!) : IGNORED));
    const around = tokenizer.wrap([]).ids.length;
    const kept = pieces.flat().slice(0, room(around));
    const wrapped = tokenizer.wrap(kept);
    const before = startOf(tokenizer);
    const label = wrapped.ids.map((_, i) =>
      i < before || i >= before + kept.length ? IGNORED : tags[i - before]!
    );
    return { inputIds: wrapped.ids, typeIds: wrapped.typeIds, label, tagged: true };
  }
  const label = example.kind === "class"
    ? classOf(example.label)
    : example.kind === "score"
    ? example.score
    : flagsOf(example.columns, classOf, ids);
  const { ids: inputIds, typeIds } = example.pair === undefined
    ? tokenizer.wrap(plain(example.text).slice(0, room(tokenizer.wrap([]).ids.length)))
    : tokenizer.wrap(
      ...shortened(plain(example.text), plain(example.pair), room(tokenizer.wrap([], []).ids.length)),
    );
  return { inputIds, typeIds, label };
}

/** 1 for each class that the columns name, 0 for the others. */
function flagsOf(
  columns: Readonly<Record<string, string>>,
  classOf: (name: string) => number,
  ids: ReadonlyMap<string, number>,
): readonly number[] {
  const named = Object.entries(columns).flatMap(([name, value]) => {
    if (ids.has(name) && (value === "1" || value === "0")) return value === "1" ? [ids.get(name)!] : [];
    const isInList = value === "1" && !ids.has(`${name}: 1`);
    return [classOf(isInList ? name : `${name}: ${value}`)];
  });
  return Array.from({ length: ids.size }, (_, id) => named.includes(id) ? 1 : 0);
}

/** The number of special tokens before a text: those that stay when the text is extended. */
function startOf(tokenizer: LabelTokenizer): number {
  const mark = -1;
  return tokenizer.wrap([mark]).ids.indexOf(mark);
}

function collated(rows: readonly LabelledRow[], pad: number): Batch {
  const width = Math.max(...rows.map((row) => row.inputIds.length));
  const filled = (values: readonly number[], filler: number): readonly number[] => [
    ...values,
    ...new Array<number>(width - values.length).fill(filler),
  ];
  return {
    inputIds: rows.map((row) => filled(row.inputIds, pad)),
    attentionMask: rows.map((row) => filled(row.inputIds.map(() => 1), 0)),
    ...rows.some((row) => row.typeIds.some((type) => type !== 0)) &&
      { tokenTypeIds: rows.map((row) => filled(row.typeIds, 0)) },
    labels: rows.map((row) => row.tagged ? filled(row.label as readonly number[], IGNORED) : row.label) as
      & readonly number[]
      & readonly (readonly number[])[],
  };
}
