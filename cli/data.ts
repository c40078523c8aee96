/** Training and test data of a command: a JSONL file, split and tokenized. */
import { createReadStream } from "node:fs";
import { createHash } from "node:crypto";
import { fold, key, type LabelKind, type Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { classNames, contextLength } from "../models/mod.ts";
import {
  type Example,
  type ExampleFile,
  type ExampleSizes,
  type LabelledKind,
  labelledRows,
  openExamples,
  openLabelledExamples,
  permutation,
  pickRows,
  RECORD_SHAPES,
  type Rows,
  SHAPE_FIELDS,
} from "../train/mod.ts";
import { dataFiles } from "../train/records/files.ts";
import { LABELLED, labelledOptions, type RecordFlags, recordShape } from "./record_shape.ts";
import { counter } from "./terminal/counter.ts";
import { fieldNames } from "./field_names.ts";
import { note } from "./terminal/output.ts";
import { exampleOptions, type OpeningOptions, textRowsOf } from "./tokenizing/text_rows.ts";
import {
  choice,
  type Command,
  integer,
  momentary,
  number,
  Option,
  option,
  rare,
} from "./terminal/arguments.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** How records become rows. */
export interface DataFlags extends RecordFlags {
  readonly instruction?: string;
  readonly answers: "last" | "each";
  readonly maxLength?: number;
  readonly longPrompts: "head" | "tail" | "refuse";
  /** Number or share of examples that are held out. */
  readonly heldOut?: number;
  /** Most of a share that are held out. */
  readonly mostHeldOut?: number;
  readonly splitSeed: number;
  /** Use only this many examples from the start. */
  readonly limit?: number;
  /** Whether sizes of rows are kept from one run to the next. Default: yes. */
  readonly cache?: boolean;
}

/** Adds the options of `DataFlags` except `--data`. */
export function dataFlags(command: Command, heldOut: string): Command {
  return command
    .option("--held-out <n>", heldOut, number({ from: 0 }))
    .option(
      "--max-length <n>",
      "longest row, in tokens; default the model's context, at most 512",
      integer(2),
    )
    .addOption(
      rare(
        choice(
          "--long-prompts <what>",
          "of a prompt that is too long keep the head or the tail, or refuse it",
          [
            "head",
            "tail",
            "refuse",
          ],
        ).default("head"),
      ),
    )
    .addOption(
      rare(choice("--answers <which>", "assistant messages to learn", ["last", "each"]).default("each")),
    )
    .addOption(rare(choice("--format <shape>", "of the records; default by their fields", RECORD_SHAPES)))
    .addOption(rare(option("--fields <names>", "other names: prompt=question,completion=reply", fieldNames)))
    .addOption(rare(option("--instruction <text>", "asked in front of a dialogue")))
    .addOption(rare(option("--limit <n>", "read only the first n examples", integer())))
    .addOption(
      rare(momentary(new Option("--no-cache", "count the tokens of each row anew, and keep no counts"))),
    )
    .addOption(rare(option("--split-seed <n>", "which examples are held out", integer(0), 0)));
}

/** Tokenized data in two parts. */
export interface Data extends Disposable {
  readonly train: Rows;
  /** Empty when nothing is held out. */
  readonly heldOut: Rows;
  /**
   * For prompts with answers: the examples themselves, in the order of the rows. Absent for labelled and raw texts.
   */
  readonly texts?: {
    train(n: number): Example;
    heldOut(n: number): Example;
  };
  /** What can be shown of a row: tokens of which some are trained, or two texts of such. */
  readonly shown: "rows" | "pairs" | "nothing";
  /** Sizes of the texts of pairs. */
  readonly pairTexts?: { readonly train: ExampleSizes; readonly heldOut: ExampleSizes };
  /** Texts in a row that are compared by vectors. */
  readonly groups?: number;
  /** Hash of the file's bytes. */
  readonly sha256: string;
  /** How many of the rows that are counted fill `maxLength`: they were cut, or fit exactly. */
  full(): number;
}

/** Default maximum number of tokens in a row. */
export function rowLength(flags: Pick<DataFlags, "maxLength">, model: Model): number {
  const limit = contextLength(model);
  if (flags.maxLength !== undefined && flags.maxLength > limit) {
    throw rangeError(
      "TEXT_TOO_LONG",
      `Expected --max-length of at most ${limit}, the model's context, but found ${flags.maxLength}`,
    );
  }
  return flags.maxLength ?? Math.min(limit, 512);
}

/**
 * Opens, checks and tokenizes the data for a model. Every record is checked, so that an invalid line is found
 * now.
 */
export async function openData(
  flags: DataFlags,
  model: Model,
  tokenizer: Tokenizer,
  maxLength: number,
  opening: OpeningOptions = {},
): Promise<Data> {
  tokenizer.encode(""); // throws here if the model has no tokenizer
  const shape = await recordShape(flags);
  const kind = LABELLED[shape];
  if (kind !== undefined) return await openLabelled(flags, kind, model, tokenizer, maxLength);
  if (!model.spec.stacks.some(({ stack }) => stack === "decoder")) {
    throw typeError(
      "DATA_INVALID",
      `Cannot read ${flags.data} with ${model.architecture.name}, which writes no answers: give lines of "text" and "label" ` +
        'or "score", or of "tokens" and "tags"',
    );
  }
  const reading = counter("Reading", undefined, "examples");
  const { world } = opening;
  const examples = await openExamples(
    flags.data,
    {
      ...exampleOptions({ ...flags, format: shape }),
      ...world && world.size > 1 && { shared: { world, hash: await fileHash(flags.data) } },
    },
    (_, n) => reading.at(n),
  ).finally(reading.stop);
  note(`Reading ${flags.data} as ${shape}: ${SHAPE_FIELDS[shape].join(", ")}`);
  try {
    const count = Math.min(examples.count, flags.limit ?? Infinity);
    const sha256 = await fileHash(flags.data);
    const counted = await textRowsOf(first(examples, count), { ...flags, format: shape }, model, tokenizer, {
      ...opening,
      maxLength,
      sha256,
    });
    const { rows } = counted;
    const numbers = splitOf(flags, count);
    const isText = shape === "text";
    return {
      ...await partsOf(flags, rows, maxLength, numbers, sha256),
      shown: isText || model.architecture.decoderStart === undefined ? "rows" : "nothing",
      // A raw text has no question that could be answered.
      ...!isText && {
        texts: {
          train: (n) => examples.example(numbers.train[n]!),
          heldOut: (n) => examples.example(numbers.heldOut[n]!),
        },
      },
      [Symbol.dispose]: () => {
        counted[Symbol.dispose]();
        examples[Symbol.dispose]();
      },
    };
  } catch (error) {
    examples[Symbol.dispose]();
    throw error;
  }
}

async function openLabelled(
  flags: DataFlags,
  kind: LabelledKind,
  model: Model,
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Data> {
  const wanted = LABELS[kind];
  const found = labelsOf(model);
  if (found !== wanted) {
    throw typeError(
      "DATA_INVALID",
      `Cannot read the ${
        kind === "tags" ? "tags" : kind === "score" ? "scores" : "labels"
      } of ${flags.data} with a ` +
        `${model.config.model_type} whose head is for ${found ?? "none"}`,
    );
  }
  const file = await openLabelledExamples(flags.data, labelledOptions(flags));
  try {
    const names = classNames(model);
    const examples = { count: Math.min(file.count, flags.limit ?? Infinity), example: file.example };
    const rows = labelledRows(examples, tokenizer, { maxLength, ...kind !== "score" && { names } });
    return {
      ...await partsOf(flags, rows, maxLength),
      shown: "nothing",
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** The kind of labels that a model's head must read for each kind of data. */
const LABELS = { class: "class", score: "scores", flags: "flags", tags: "token" } as const satisfies Record<
  LabelledKind,
  LabelKind
>;

/** The kind of labels that a model's head is trained on; undefined where it has none. */
export function labelsOf(model: Model): LabelKind | undefined {
  try {
    return model.architecture.labels(model);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** What all data have: the rows in two parts, the file's hash, and how many rows are full. */
export async function partsOf(
  flags: DataFlags,
  rows: Rows,
  maxLength: number,
  { train, heldOut }: Split = splitOf(flags, rows.count),
  sha256?: string,
): Promise<Pick<Data, "train" | "heldOut" | "sha256" | "full">> {
  return {
    train: pickRows(rows, train),
    heldOut: pickRows(rows, heldOut),
    sha256: sha256 ?? await fileHash(flags.data),
    full: () => Array.from(rows.lengths).filter((length) => length === maxLength).length,
  };
}

/** Numbers of examples to train on and to hold out. */
export interface Split {
  readonly train: readonly number[];
  readonly heldOut: readonly number[];
}

/** The numbers as flags say. */
export const splitOf = ({ heldOut = 0, mostHeldOut, splitSeed }: DataFlags, count: number): Split =>
  split(count, heldOut, splitSeed, mostHeldOut);

/** The indices of the examples to train on and to hold out, determined by the seed and the count. */
export function split(count: number, heldOut: number, seed: number, most: number = Infinity): Split {
  const aside = heldOut < 1 ? Math.min(most, Math.round(heldOut * count)) : heldOut;
  if (!Number.isInteger(aside) || aside >= count) {
    throw rangeError(
      "DATA_INVALID",
      `Cannot hold out ${heldOut} of ${count} examples: give a whole number below ${count}, or a share below 1`,
    );
  }
  const order = [...permutation(count, fold(key(seed), "held out"))];
  const ascending = (numbers: number[]): readonly number[] => numbers.sort((a, b) => a - b);
  return { heldOut: ascending(order.slice(0, aside)), train: ascending(order.slice(aside)) };
}

/** The SHA-256 of a file in hex, read incrementally; of a folder, that of its data files' hashes. */
export async function fileHash(path: string): Promise<string> {
  const files = await dataFiles(path);
  const hash = createHash("sha256");
  if (files.length !== 1 || files[0] !== path) {
    for (const file of files) hash.update(await fileHash(file));
    return hash.digest("hex");
  }
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest("hex");
}

function first(examples: ExampleFile, count: number): ExampleFile {
  return { ...examples, count, example: (n) => examples.example(n) };
}
