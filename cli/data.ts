/** Training and test data of a command: a JSONL file, split and tokenized. */
import { createHash } from "node:crypto";
import { fold, key } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import {
  type Example,
  type ExampleFile,
  type ExampleOptions,
  type LongPrompt,
  openExamples,
  permutation,
  pickRows,
  type Rows,
  rowsOf,
} from "../train/mod.ts";
import { choice, type Command, integer, number, option, rare } from "./arguments.ts";

/** How records become rows. */
export interface DataFlags {
  readonly data: string;
  readonly instruction?: string;
  readonly answers: "last" | "each";
  readonly maxLength?: number;
  readonly longPrompts: "head" | "tail" | "refuse";
  /** Examples, or their share, that are not trained on. */
  readonly heldOut?: number;
  readonly splitSeed: number;
  /** Only the first so many examples. */
  readonly limit?: number;
}

/** Adds the options of `DataFlags` but `--data`. */
export function dataFlags(command: Command, heldOut: string): Command {
  return command
    .option("--held-out <n>", heldOut, number({ from: 0 }))
    .option("--max-length <n>", "most tokens in a row; default the context, 512 at most", integer(2))
    .addOption(
      choice("--long-prompts <what>", "too long a prompt: keep its head or tail, or refuse", [
        "head",
        "tail",
        "refuse",
      ]).default("head"),
    )
    .addOption(
      rare(choice("--answers <which>", "assistant messages to learn", ["last", "each"]).default("last")),
    )
    .addOption(rare(option("--instruction <text>", "asked in front of a dialogue")))
    .addOption(rare(option("--limit <n>", "read only the first n examples", integer())))
    .addOption(rare(option("--split-seed <n>", "which examples are held out", integer(0), 0)));
}

/** Tokenized data in two parts. */
export interface Data extends Disposable {
  readonly train: Rows;
  /** Empty when nothing is held out. */
  readonly heldOut: Rows;
  /** The held-out examples, in the order of `heldOut`. */
  heldOutExample(n: number): Example;
  /** A training example. */
  trainExample(n: number): Example;
  /** Of the file's bytes. */
  readonly sha256: string;
  /** Rows that fill `maxLength`: their prompts were shortened, or just fit. */
  readonly full: number;
}

/** Most tokens in a row when nothing is said. */
export function rowLength(
  flags: Pick<DataFlags, "maxLength">,
  config: { readonly [name: string]: unknown },
): number {
  const context = config.max_position_embeddings ?? config.n_positions;
  const limit = typeof context === "number" ? context : Infinity;
  if (flags.maxLength !== undefined && flags.maxLength > limit) {
    throw new RangeError(
      `Expected --max-length of at most ${limit}, the model's context, but found ${flags.maxLength}`,
    );
  }
  return flags.maxLength ?? Math.min(limit, 512);
}

/** Opens, checks and tokenizes the data. Every record is looked at, so that a bad line is found now. */
export async function openData(flags: DataFlags, tokenizer: Tokenizer, maxLength: number): Promise<Data> {
  tokenizer.encode(""); // a model without a tokenizer says so here
  const examples = await openExamples(flags.data, exampleOptions(flags));
  try {
    const count = Math.min(examples.count, flags.limit ?? Infinity);
    const longPrompt: LongPrompt = flags.longPrompts === "refuse" ? "refuse" : { keep: flags.longPrompts };
    const rows = rowsOf(first(examples, count), tokenizer, { maxLength, longPrompt });
    const { train, heldOut } = split(count, flags.heldOut ?? 0, flags.splitSeed);
    return {
      train: pickRows(rows, train),
      heldOut: pickRows(rows, heldOut),
      heldOutExample: (n) => examples.example(heldOut[n]!),
      trainExample: (n) => examples.example(train[n]!),
      sha256: await fileHash(flags.data),
      full: Array.from(rows.lengths).filter((length) => length === maxLength).length,
      [Symbol.dispose]: () => examples[Symbol.dispose](),
    };
  } catch (error) {
    examples[Symbol.dispose]();
    throw error;
  }
}

/** Options of examples that flags describe. */
export function exampleOptions(flags: Pick<DataFlags, "instruction" | "answers">): ExampleOptions {
  return { answers: flags.answers, ...flags.instruction !== undefined && { instruction: flags.instruction } };
}

/** The numbers of the examples to train on and to hold out: a function of the seed and the count. */
export function split(
  count: number,
  heldOut: number,
  seed: number,
): { readonly train: readonly number[]; readonly heldOut: readonly number[] } {
  const aside = heldOut < 1 ? Math.round(heldOut * count) : heldOut;
  if (!Number.isInteger(aside) || aside >= count) {
    throw new RangeError(
      `Cannot hold out ${heldOut} of ${count} examples: give a whole number below ${count}, or a share below 1`,
    );
  }
  const order = [...permutation(count, fold(key(seed), "held out"))];
  const ascending = (numbers: number[]): readonly number[] => numbers.sort((a, b) => a - b);
  return { heldOut: ascending(order.slice(0, aside)), train: ascending(order.slice(aside)) };
}

/** The SHA-256 of a file in hex, read in pieces. */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(1 << 16);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) {
    hash.update(buffer.subarray(0, n));
  }
  return hash.digest("hex");
}

function first(examples: ExampleFile, count: number): ExampleFile {
  return { ...examples, count, example: (n) => examples.example(n) };
}
