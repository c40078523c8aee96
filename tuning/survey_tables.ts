/** Tables 1 and 2 of the survey's article beside computed values: the rows stand in the definitions. */
import type { SurveyRow } from "../core/mod.ts";
import { DEFINITIONS } from "../methods/index.ts";

/** The article's rows by the name of the method. */
export const ARTICLE: Readonly<Record<string, SurveyRow>> = Object.fromEntries(
  DEFINITIONS.flatMap(({ name, survey }) => survey === undefined ? [] : [[name, survey] as const]),
);

/**
 * Whether a percentage agrees with the article's: within the range or equal to the number, both rounded to
 * its digits; for "~" within a factor of two; for "or" one of the alternatives.
 */
export function agrees(percent: number, printed: string): boolean {
  return printed.split(" or ").some((one) => {
    const more = /^more than (.*)$/.exec(one);
    if (more !== null) return percent > Number(more[1]);
    if (one.startsWith("~")) {
      const about = Number(one.slice(1));
      return percent >= about / 2 && percent <= about * 2;
    }
    const [low, high = low] = one.split(" - ") as [string, string?];
    const digits = Math.max(...[low, high].map((text) => text.split(".")[1]?.length ?? 0));
    const rounded = Number(percent.toFixed(digits));
    return rounded >= Number(low) && rounded <= Number(high);
  });
}
