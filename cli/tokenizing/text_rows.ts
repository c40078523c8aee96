/** Prompts with answers, and raw texts, as rows of a model. */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { cacheFolder } from "../../io/cache_folder.ts";
import { environmentVariable } from "../../platform/environment.ts";
import {
  type ExampleFile,
  type ExampleOptions,
  type LongPrompt,
  seq2seqRows,
  type World,
} from "../../train/mod.ts";
import { counter } from "../terminal/counter.ts";
import { type CountedRows, countedRows } from "./counted_rows.ts";

/** How rows are counted. */
export interface OpeningOptions {
  /** Rows may be returned before all of them are counted: see `Rows.sized`. */
  readonly early?: boolean;
  /** The processes that share the counting. Default: this one alone. */
  readonly world?: World;
}

/** What of the flags decides on examples. */
export type TextFlags = Omit<ExampleOptions, "answers"> & { readonly answers: "last" | "each" };

/** Options of examples from flags. */
export function exampleOptions(
  { answers, instruction, format, fields }: TextFlags,
): ExampleOptions {
  return {
    answers,
    ...instruction !== undefined && { instruction },
    ...format && { format },
    ...fields && { fields },
  };
}

/** The rows of the examples of a file, whose hash tells it from others. */
export async function textRowsOf(
  examples: ExampleFile,
  flags: TextFlags & { readonly longPrompts: "head" | "tail" | "refuse"; readonly cache?: boolean },
  model: Model,
  tokenizer: Tokenizer,
  { maxLength, sha256, early = false, world }: OpeningOptions & {
    readonly maxLength: number;
    readonly sha256: string;
  },
): Promise<CountedRows> {
  if (model.architecture.decoderStart === undefined) {
    const longPrompt: LongPrompt = flags.longPrompts === "refuse" ? "refuse" : { keep: flags.longPrompts };
    const shown = counter("Tokenizing", examples.count, "rows");
    return await countedRows(examples, tokenizer, { maxLength, longPrompt }, {
      decides: { ...exampleOptions(flags) },
      sha256,
      folder: flags.cache === false ? undefined : cacheFolder("sizes", environmentVariable),
      early,
      ...world && { world },
      ...!early && { counted: shown.at },
    }).finally(shown.stop);
  }
  const rows = seq2seqRows(examples, tokenizer, { maxLength, maxAnswerLength: maxLength });
  return { rows, [Symbol.dispose]: () => {} };
}
