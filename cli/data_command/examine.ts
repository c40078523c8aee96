/** What is in a data file: every row tokenized as it would be trained, and what is wrong with those that cannot be. */
import { createHash } from "node:crypto";
import { readRecords, type RecordShape, showLocation } from "../../train/mod.ts";
import { EXAMPLE_SHAPES, shapedBy } from "../../train/examples.ts";
import {
  entriesOf,
  type Entry,
  type EntryOptions,
  type EntryText,
  type ExaminedTokenizer,
  trainedCount,
} from "./entries.ts";
import { rangeError } from "../../errors/error.ts";

/** What was found. */
export interface Examined {
  readonly shape: RecordShape;
  /** Rows that can be trained. */
  readonly rows: number;
  /** Tokens in each of them, uncut; where texts are compared, in the longest. */
  readonly lengths: readonly number[];
  /** Tokens of all texts, and those that are trained. */
  readonly tokens: number;
  readonly trained: number;
  /** Tokens in each by what they are: "all" and "trained", or "prompt", "chosen" and "rejected". */
  readonly sizes: ReadonlyMap<string, readonly number[]>;
  /** Locations of rows longer than a row may be. */
  readonly tooLong: readonly string[];
  /** Locations of rows that repeat an earlier one, with the earlier one. */
  readonly duplicates: readonly { readonly at: string; readonly of: string }[];
  /** Rows that have no answer. */
  readonly empty: readonly string[];
  /** Preferences of which both answers are the same, or have the same tokens. */
  readonly equal: readonly string[];
  /** Why other rows cannot be trained. */
  readonly refused: readonly string[];
  /** The first rows as they are trained. */
  readonly shown: readonly {
    readonly at: string;
    readonly texts: readonly EntryText[];
    readonly label?: string;
  }[];
  /** How many rows have each class or number, in the order in which they come. */
  readonly classes: ReadonlyMap<string, number>;
}

/** Reads all of a file. @throws as `readRecords`: what is no record ends the reading. */
export async function examine(
  path: string,
  tokenizer: ExaminedTokenizer,
  options: EntryOptions & { readonly show: number; readonly limit?: number },
): Promise<Examined> {
  const shaped = shapedBy(options, ["tags", "label", "score", "labels", ...EXAMPLE_SHAPES]);
  const sizes = new Map<string, number[]>();
  const found = {
    lengths: [] as number[],
    tokens: 0,
    trained: 0,
    tooLong: [] as string[],
    duplicates: [] as { at: string; of: string }[],
    empty: [] as string[],
    equal: [] as string[],
    refused: [] as string[],
    shown: [] as { at: string; texts: readonly EntryText[]; label?: string }[],
    classes: new Map<string, number>(),
  };
  const seen = new Map<string, string>();
  let shape: RecordShape | undefined;
  let read = 0;
  for await (const given of readRecords(path)) {
    if (read++ >= (options.limit ?? Infinity)) break;
    const at = showLocation(given);
    try {
      const one = shaped(given);
      shape = one.shape;
      for (const entry of entriesOf(one.record, shape, tokenizer, options)) {
        if (isEqual(entry, shape)) {
          found.equal.push(`${at}: "chosen" and "rejected" have the same tokens`);
          continue;
        }
        const { texts, label } = entry;
        const length = texts.reduce((most, { tokens }) => Math.max(most, tokens.inputIds.length), 0);
        found.lengths.push(length);
        for (const { tokens } of texts) {
          found.tokens += tokens.inputIds.length;
          found.trained += trainedCount(tokens);
        }
        for (const [name, size] of Object.entries(entry.sizes)) {
          if (!sizes.has(name)) sizes.set(name, []);
          sizes.get(name)!.push(size);
        }
        if (length > options.maxLength) found.tooLong.push(at);
        const hash = hashOf(texts);
        const of = seen.get(hash);
        if (of === undefined) seen.set(hash, at);
        else found.duplicates.push({ at, of });
        if (label !== undefined && shape !== "scored pair") {
          found.classes.set(label, (found.classes.get(label) ?? 0) + 1);
        }
        if (found.shown.length < options.show) {
          found.shown.push({ at, texts: entry.cut() ?? texts, ...label !== undefined && { label } });
        }
      }
    } catch (error) {
      const { message } = error as Error;
      if (/is empty|has no tokens/.test(message)) found.empty.push(message);
      else if (/"chosen" and "rejected" are the same/.test(message)) found.equal.push(message);
      else found.refused.push(message);
    }
  }
  if (shape === undefined) {
    throw rangeError("DATA_INVALID", found.refused[0] ?? found.empty[0] ?? `${path} has no records`);
  }
  return { shape, rows: found.lengths.length, sizes, ...found };
}

/** Answers may differ and yet have the same tokens, as with spaces that a tokenizer drops. */
function isEqual({ texts: [first, second] }: Entry, shape: RecordShape): boolean {
  if (shape !== "preference") return false;
  const [a, b] = [first!.tokens.inputIds, second!.tokens.inputIds];
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

function hashOf(texts: readonly EntryText[]): string {
  const hash = createHash("sha256");
  for (const { tokens } of texts) hash.update(Int32Array.from([tokens.inputIds.length, ...tokens.inputIds]));
  return hash.digest("base64");
}
