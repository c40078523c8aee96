/** Schemas of numbers that several methods' options have. */
import type { OptionSchema } from "../../core/options/mod.ts";

/** A number from 0 on. */
export const nonNegative: OptionSchema<number> = {
  what: "a number of at least 0",
  accepts: (value) => Number.isFinite(value) && value as number >= 0,
};

/** A share of a whole. */
export const share: OptionSchema<number> = {
  what: "a number above 0 and up to 1",
  accepts: (value) => Number.isFinite(value) && value as number > 0 && value as number <= 1,
};
