/** Options of the methods that prepare something before the first step: those that each knows, by their names in the library. */
import type { Model } from "../core/mod.ts";
import { type JsonOptions, optionsFromJson } from "../io/option_codec.ts";
import { UsageError } from "./arguments.ts";
import type { MethodName } from "./method_table.ts";
import { lowRankOptions, type MethodFlags } from "./methods.ts";

/** Of FISH Mask. */
export const FISH = ["ratio", "examples", "labels", "classifier"] as const;
/** Of LoRA and what starts it elsewhere. */
export const LORA: readonly string[] = [
  ...["targets", "exclude", "layers", "rank", "alpha", "scaling", "dropout"],
  ...["rankPattern", "alphaPattern", "bias", "branchBias"],
];

/** Of LoftQ. */
export const LOFTQ: readonly string[] = [...LORA, "dtype", "iterations"];

/** Options of a method that is no plain one. @throws {UsageError} on an unknown one. */
export function chosen(
  model: Model,
  flags: MethodFlags,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  const { method, options = {} } = flags;
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`${method} has no option "${unknown}": there are ${known.join(", ")}`);
  }
  const own: JsonOptions = !LOW_RANK.includes(method) ? {} : lowRankOptions(flags, model.spec);
  return optionsFromJson({ ...own, ...options });
}

const LOW_RANK: readonly MethodName[] = ["pissa", "olora", "loftq", "eva"];
