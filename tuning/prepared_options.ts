/** Options of the methods that need preparation before the first step, by their names in the library. */
import type { Model } from "../core/mod.ts";
import { LORA_SCHEMAS, PSOFT_OPTIONS, TARGETS } from "../io/records/common_schemas.ts";
import { METHOD_OPTIONS } from "../io/records/method_options.ts";
import { type JsonOptions, optionsFromJson } from "../core/options/option_json.ts";
import { checkOptions } from "../core/options/option.ts";
import {
  any,
  type AnyOptionSchema,
  count,
  fields,
  number,
  oneOf,
  type OptionSchemas,
} from "../core/options/option_schemas.ts";
import { UsageError } from "./usage_error.ts";
import { LADDER_START } from "./ladder_start.ts";
import type { MethodName } from "./method_catalog.ts";
import { lowRankOptions, type MethodFlags, placesOf } from "./method_from_flags.ts";
import { psoftRank } from "./psoft_start.ts";

const SVD = (name: "iterations", ...more: readonly string[]): AnyOptionSchema =>
  any(oneOf("exact"), fields({ [name]: number, ...Object.fromEntries(more.map((own) => [own, number])) }));

/** Option schemas of the methods that prepare a base or a mask. */
export const PREPARED: Readonly<
  Record<"fish-mask" | "psoft" | "ladder-side" | "pissa" | "olora" | "loftq" | "eva", OptionSchemas>
> = {
  "fish-mask": {
    ratio: number,
    examples: number,
    labels: oneOf("empirical", "expected"),
    classifier: oneOf("whole", "masked"),
  },
  "psoft": { ...TARGETS, rank: count, svd: SVD("iterations", "oversampling?"), ...PSOFT_OPTIONS },
  "ladder-side": LADDER_START,
  "pissa": { ...LORA_SCHEMAS, svd: SVD("iterations", "oversampling?") },
  "olora": LORA_SCHEMAS,
  "loftq": METHOD_OPTIONS.loftq,
  "eva": {
    ...LORA_SCHEMAS,
    svd: SVD("iterations"),
    ...{ spread: number, threshold: number, tokens: oneOf("labelled", "all"), maxBatches: number },
  },
};

/**
 * Options of a method that is not created from options alone. @throws {UsageError} on an unknown option, or
 * an invalid value.
 */
export function chosen(
  model: Model,
  flags: MethodFlags,
  kinds: OptionSchemas,
): Readonly<Record<string, unknown>> {
  const { method, options = {} } = flags;
  const given = optionsFromJson(options);
  try {
    checkOptions(method, given, kinds);
  } catch (error) {
    throw new UsageError((error as RangeError).message);
  }
  const own: JsonOptions = LOW_RANK.includes(method)
    ? lowRankOptions(flags, model.spec)
    : method === "psoft"
    ? psoftFlags(flags, model)
    : {};
  return { ...optionsFromJson(own), ...given };
}

/** The options given by flags, and a suitable rank. */
function psoftFlags({ rank, dropout, ...flags }: MethodFlags, model: Model): JsonOptions {
  const places = placesOf(flags, model.spec, "all-linear");
  return { ...places, rank: rank ?? psoftRank(model, places), ...dropout !== undefined && { dropout } };
}

const LOW_RANK: readonly MethodName[] = ["pissa", "olora", "loftq", "eva"];
