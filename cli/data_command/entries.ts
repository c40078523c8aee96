/** A record as it is trained: its texts as tokens, and the lengths that are told of it. */
import {
  encodeExample,
  type Example,
  type ExampleOptions,
  examplesOf,
  type ExampleTokenizer,
  groupOf,
  type GroupShape,
  IGNORED,
  type JsonlRecord,
  labelledExampleOf,
  type LabelTokenizer,
  preferenceOf,
  preferenceRows,
  type RecordShape,
  type TokenPair,
  type Tokens,
} from "../../train/mod.ts";
import { GROUP_TEXTS } from "../../train/groups.ts";
import { flagNames } from "../../train/labelled_names.ts";

/** What a tokenizer must be able to do. */
export type ExaminedTokenizer = ExampleTokenizer & LabelTokenizer;

/** How records become rows. */
export type EntryOptions = ExampleOptions & { readonly maxLength: number };

/** A text of a row. */
export interface EntryText {
  /** "chosen" or "positive"; absent where a row is one text. */
  readonly name?: string;
  readonly tokens: Tokens;
}

/** A row, uncut. */
export interface Entry {
  readonly texts: readonly EntryText[];
  /** Tokens by what they are: "all" and "trained", or "prompt", "chosen" and "rejected". */
  readonly sizes: Readonly<Record<string, number>>;
  /** The texts as they are trained; undefined where they cannot be cut to the longest row. */
  cut(): readonly EntryText[] | undefined;
  /** Its class or number, of labelled texts and scored pairs. */
  readonly label?: string;
}

/** The rows of a record. @throws as what reads records of its shape. */
export function entriesOf(
  record: JsonlRecord,
  shape: RecordShape,
  tokenizer: ExaminedTokenizer,
  options: EntryOptions,
): readonly Entry[] {
  switch (shape) {
    case "label":
    case "score":
    case "labels":
    case "tags":
      return [labelledEntry(record, shape, tokenizer)];
    case "preference":
      return [preferenceEntry(record, tokenizer, options.maxLength)];
    case "pair":
    case "triplet":
    case "scored pair":
      return [groupEntry(record, shape, tokenizer, options.maxLength)];
    default:
      return examplesOf(record, shape, options).map((example) => exampleEntry(example, tokenizer, options));
  }
}

/** Longer than any row. */
const NO_LIMIT = 2 ** 31;

function exampleEntry(
  example: Example,
  tokenizer: ExampleTokenizer,
  { maxLength }: EntryOptions,
): Entry {
  const tokens = encodeExample(example, tokenizer, { maxLength: NO_LIMIT, longPrompt: "refuse" });
  return {
    texts: [{ tokens }],
    sizes: { all: tokens.inputIds.length, trained: trainedCount(tokens) },
    cut: () =>
      possible(() => [{
        tokens: encodeExample(example, tokenizer, { maxLength, longPrompt: { keep: "head" } }),
      }]),
  };
}

const KINDS = { label: "class", score: "score", labels: "flags", tags: "tags" } as const;

function labelledEntry(
  record: JsonlRecord,
  shape: keyof typeof KINDS,
  tokenizer: LabelTokenizer,
): Entry {
  const example = labelledExampleOf(record, KINDS[shape]);
  const plain = (text: string): readonly number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const { ids } = example.kind === "tags"
    ? tokenizer.wrap(example.words.flatMap(plain))
    : tokenizer.wrap(plain(example.text), example.pair === undefined ? undefined : plain(example.pair));
  const texts = [{ tokens: untrained(ids) }];
  const label = example.kind === "class"
    ? example.label
    : example.kind === "score"
    ? String(example.score)
    : example.kind === "flags"
    ? flagNames(example.columns)
    : example.tags.join(" ");
  return { texts, sizes: { all: ids.length, trained: 0 }, cut: () => texts, label };
}

function preferenceEntry(record: JsonlRecord, tokenizer: ExampleTokenizer, maxLength: number): Entry {
  const preference = preferenceOf(record);
  const named = ({ chosen, rejected }: TokenPair): readonly EntryText[] => [
    { name: "chosen", tokens: chosen },
    { name: "rejected", tokens: rejected },
  ];
  const whole = preferenceRows([preference], tokenizer, { maxLength: NO_LIMIT, longPrompt: "refuse" }).pair(
    0,
  );
  const { chosen, rejected } = whole;
  const prompt = chosen.labels.findIndex((label) => label !== IGNORED);
  return {
    texts: named(whole),
    sizes: {
      prompt,
      chosen: chosen.inputIds.length - prompt,
      rejected: rejected.inputIds.length - prompt,
    },
    cut: () =>
      possible(() =>
        named(preferenceRows([preference], tokenizer, { maxLength, longPrompt: { keep: "head" } }).pair(0))
      ),
  };
}

function groupEntry(
  record: JsonlRecord,
  shape: GroupShape,
  tokenizer: LabelTokenizer,
  maxLength: number,
): Entry {
  const { texts, similarity } = groupOf(record, shape);
  const around = tokenizer.wrap([]).ids.length;
  const ids = (text: string, most: number): readonly number[] =>
    tokenizer.wrap(
      tokenizer.encode(text, { addSpecialTokens: false }).slice(0, Math.max(0, most - around)),
    ).ids;
  const within = (most: number): readonly EntryText[] =>
    texts.map((text, i) => ({ name: GROUP_TEXTS[shape][i]!, tokens: untrained(ids(text, most)) }));
  const whole = within(NO_LIMIT);
  return {
    texts: whole,
    sizes: Object.fromEntries(whole.map(({ name, tokens }) => [name!, tokens.inputIds.length])),
    cut: () => within(maxLength),
    ...similarity !== undefined && { label: String(similarity) },
  };
}

const untrained = (inputIds: readonly number[]): Tokens => ({
  inputIds,
  labels: inputIds.map(() => IGNORED),
});

/** The first token of a row is never predicted. */
export const trainedCount = ({ labels }: Tokens): number =>
  labels.filter((label, i) => i > 0 && label !== IGNORED).length;

/** A text that does not fit even when it is cut was counted already. */
function possible<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
