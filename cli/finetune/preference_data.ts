/** Pairs of answers as the data of a run. */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { type ExampleSizes, openPreferences, preferenceRows } from "../../train/mod.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { type Data, type DataFlags, labelsOf, openData, partsOf, splitOf } from "../data.ts";
import type { OpeningOptions } from "../tokenizing/text_rows.ts";
import { isEmbedding, isPreference, type ObjectiveFlags } from "./objective_flags.ts";
import { openGroupData } from "./group_data.ts";
import { recordShape } from "../record_shape.ts";
import { note } from "../terminal/output.ts";
import { typeError } from "../../errors/error.ts";

/** Opens, checks and tokenizes the data that an objective takes. */
export function openRunData(
  flags: DataFlags & ObjectiveFlags,
  model: Model,
  tokenizer: Tokenizer,
  maxLength: number,
  opening: OpeningOptions = {},
): Promise<Data> {
  if (isEmbedding(flags)) return openGroupData(flags, { ...model, tokenizer }, tokenizer, maxLength);
  return isPreference(flags)
    ? openPreferenceData(flags, model, tokenizer, maxLength)
    : openData(flags, model, tokenizer, maxLength, opening);
}

/** A file of preferences. */
async function openPreferenceData(
  flags: DataFlags & ObjectiveFlags,
  model: Model,
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Data> {
  const shape = await recordShape({ ...flags }, ["preference"]);
  if (shape !== "preference") {
    throw new UsageError(
      `Expected pairs of answers in ${flags.data}, "chosen" and "rejected", perhaps with "prompt", but found ${shape}; rename fields by --fields`,
    );
  }
  const wanted = flags.objective === "reward" ? "scores" : "next";
  if (labelsOf(model) !== wanted) {
    throw typeError(
      "DATA_INVALID",
      wanted === "next"
        ? `Cannot compare answers under a ${model.config.model_type}: it is no causal language model`
        : `Cannot learn rewards with a ${model.config.model_type}: it has no head of one score`,
    );
  }
  note(`Reading ${flags.data} as preferences: chosen, rejected`);
  const file = await openPreferences(flags.data, flags.fields === undefined ? {} : { fields: flags.fields });
  try {
    const count = Math.min(file.count, flags.limit ?? Infinity);
    const { longPrompts } = flags;
    const rows = preferenceRows({ count, preference: (n) => file.preference(n) }, tokenizer, {
      maxLength,
      longPrompt: longPrompts === "refuse" ? "refuse" : { keep: longPrompts },
    });
    const numbers = splitOf(flags, count);
    const sizesOf = (numbers: readonly number[]): ExampleSizes => {
      const texts = numbers.flatMap((n) => [2 * n, 2 * n + 1]);
      const { lengths, targets } = rows.texts;
      return { lengths: texts.map((i) => lengths[i]!), targets: texts.map((i) => targets[i]!) };
    };
    return {
      ...await partsOf(flags, rows, maxLength, numbers),
      shown: "pairs",
      pairTexts: { train: sizesOf(numbers.train), heldOut: sizesOf(numbers.heldOut) },
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}
