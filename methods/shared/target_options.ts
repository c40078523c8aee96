/** The options by which methods of layers choose their places, and those that many share. */
import type { TargetOptions } from "../../core/mod.ts";
import {
  any,
  bounded,
  count,
  list,
  number,
  oneOf,
  option,
  type OptionSchema,
  type OptionsOf,
  places,
  record,
} from "../../core/options/mod.ts";

/** A predicate; no file and no command line has one. */
const predicate: OptionSchema<NonNullable<TargetOptions["targets"]>> = {
  what: "a predicate on places",
  accepts: (value) => typeof value === "function",
};

const targets: OptionSchema<NonNullable<TargetOptions["targets"]>> = {
  what: any(oneOf("all-linear"), places).what,
  accepts: (value) => any(oneOf("all-linear"), places).accepts(value) || predicate.accepts(value),
};

/** Which layers: `targets`, `exclude`, `layers`. */
export const TARGETS: { readonly [K in keyof TargetOptions]-?: OptionsOf<Pick<TargetOptions, K>>[K] } = {
  targets: option(targets, "which layers: names, a pattern, or all-linear; by default queries and values"),
  exclude: option(places, "layers to leave out, by name or pattern"),
  layers: option(list(bounded(number, "blocks")), "only these blocks, by number"),
} as { readonly [K in keyof TargetOptions]-?: OptionsOf<Pick<TargetOptions, K>>[K] };

/** A rank. */
export const rankSchema: OptionSchema<number> = { ...bounded(count, "rank"), matrixRank: true };

/** Ranks by pattern. */
export const rankPattern: OptionsOf<{ readonly rankPattern?: Readonly<Record<string, number>> | undefined }>[
  "rankPattern"
] = option(record(rankSchema), "the rank by pattern of the layer's path; the first match applies");

/** α by pattern. */
export const alphaPattern: OptionsOf<
  { readonly alphaPattern?: Readonly<Record<string, number>> | undefined }
>[
  "alphaPattern"
] = option(record(number), "α by pattern of the layer's path; the first match applies");
