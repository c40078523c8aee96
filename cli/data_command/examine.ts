/** What is in a data file: every row tokenized as it would be trained, and what is wrong with those that cannot be. */
import { createHash } from "node:crypto";
import {
  encodeExample,
  type Example,
  type ExampleOptions,
  examplesOf,
  type ExampleTokenizer,
  IGNORED,
  type JsonlRecord,
  labelledExampleOf,
  type LabelTokenizer,
  readRecords,
  type RecordShape,
  showLocation,
  type Tokens,
} from "../../train/mod.ts";
import { EXAMPLE_SHAPES, shapedBy } from "../../train/examples.ts";

/** What was found. */
export interface Examined {
  readonly shape: RecordShape;
  /** Rows that can be trained. */
  readonly rows: number;
  /** Tokens in each of them, uncut. */
  readonly lengths: readonly number[];
  /** Trained tokens in each. */
  readonly trained: readonly number[];
  /** Locations of rows longer than a row may be. */
  readonly tooLong: readonly string[];
  /** Locations of rows that repeat an earlier one, with the earlier one. */
  readonly duplicates: readonly { readonly at: string; readonly of: string }[];
  /** Rows that have no answer. */
  readonly empty: readonly string[];
  /** Why other rows cannot be trained. */
  readonly refused: readonly string[];
  /** The first rows as they are trained. */
  readonly shown: readonly { readonly at: string; readonly tokens: Tokens; readonly label?: string }[];
  /** How many rows have each class or number, in the order in which they come. */
  readonly classes: ReadonlyMap<string, number>;
}

/** What a tokenizer must be able to do. */
export type ExaminedTokenizer = ExampleTokenizer & LabelTokenizer;

/** Reads all of a file. @throws as `readRecords`: what is no record ends the reading. */
export async function examine(
  path: string,
  tokenizer: ExaminedTokenizer,
  options: ExampleOptions & { readonly maxLength: number; readonly show: number; readonly limit?: number },
): Promise<Examined> {
  const shaped = shapedBy(options, ["tags", "label", "score", ...EXAMPLE_SHAPES]);
  const found = {
    lengths: [] as number[],
    trained: [] as number[],
    tooLong: [] as string[],
    duplicates: [] as { at: string; of: string }[],
    empty: [] as string[],
    refused: [] as string[],
    shown: [] as { at: string; tokens: Tokens; label?: string }[],
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
      for (const { tokens, cut, label } of trainedRows(one.record, shape, tokenizer, options)) {
        const { length } = tokens.inputIds;
        found.lengths.push(length);
        found.trained.push(tokens.labels.filter((label, i) => i > 0 && label !== IGNORED).length);
        if (length > options.maxLength) found.tooLong.push(at);
        const hash = createHash("sha256").update(Int32Array.from(tokens.inputIds)).digest("base64");
        const of = seen.get(hash);
        if (of === undefined) seen.set(hash, at);
        else found.duplicates.push({ at, of });
        if (label !== undefined) found.classes.set(label, (found.classes.get(label) ?? 0) + 1);
        if (found.shown.length < options.show) {
          found.shown.push({ at, tokens: cut(), ...label !== undefined && { label } });
        }
      }
    } catch (error) {
      const { message } = error as Error;
      (/is empty|has no tokens/.test(message) ? found.empty : found.refused).push(message);
    }
  }
  if (shape === undefined) {
    throw new RangeError(found.refused[0] ?? found.empty[0] ?? `${path} has no records`);
  }
  return { shape, rows: found.lengths.length, ...found };
}

/** A row as it is and, on demand, as it is trained. */
interface TrainedRow {
  readonly tokens: Tokens;
  cut(): Tokens;
  /** Its class or number, of labelled texts. */
  readonly label?: string;
}

function trainedRows(
  record: JsonlRecord,
  shape: RecordShape,
  tokenizer: ExaminedTokenizer,
  options: ExampleOptions & { readonly maxLength: number },
): readonly TrainedRow[] {
  if (shape === "label" || shape === "score" || shape === "tags") {
    const kind = shape === "label" ? "class" : shape;
    const example = labelledExampleOf(record, kind);
    const plain = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false });
    const { ids } = example.kind === "tags"
      ? tokenizer.wrap(example.words.flatMap(plain))
      : tokenizer.wrap(plain(example.text), example.pair === undefined ? undefined : plain(example.pair));
    const tokens = { inputIds: ids, labels: ids.map(() => IGNORED) };
    const label = example.kind === "class"
      ? example.label
      : example.kind === "score"
      ? String(example.score)
      : example.tags.join(" ");
    return [{ tokens, cut: () => tokens, label }];
  }
  return examplesOf(record, shape, options).map((example) => {
    const tokens = uncut(example, tokenizer);
    return { tokens, cut: () => trainedRow(example, tokenizer, options.maxLength) ?? tokens };
  });
}

/** Longer than any row. */
const NO_LIMIT = 2 ** 31;

const uncut = (example: Example, tokenizer: ExampleTokenizer): Tokens =>
  encodeExample(example, tokenizer, { maxLength: NO_LIMIT, longPrompt: "refuse" });

/** Cut as it will be trained; undefined where it cannot be. */
function trainedRow(example: Example, tokenizer: ExampleTokenizer, maxLength: number): Tokens | undefined {
  try {
    return encodeExample(example, tokenizer, { maxLength, longPrompt: { keep: "head" } });
  } catch {
    return undefined;
  }
}
