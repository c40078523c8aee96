/** What the survey says, and what came of trying it. */
import type { Lab } from "./lab.ts";

/**
 * "holds": our figure agrees with the article's. "does not hold": it contradicts it. "not testable here": the claim is about models or
 * data that are not on this machine; the figure is then of the same question, asked of what is.
 */
export type Verdict = "holds" | "does not hold" | "not testable here";

/** What came of one claim. */
export interface Finding {
  /** The article's figure or sentence, in short. */
  readonly article: string;
  /** Ours, computed in this run. */
  readonly ours: string;
  readonly verdict: Verdict;
  /** Why, where the verdict alone would mislead. */
  readonly note?: string;
}

/** A claim that can be tried. */
export interface Claim {
  readonly title: string;
  /** Tries it. What it allocates it frees. */
  check(lab: Lab): Finding | Promise<Finding>;
}

/** "holds" if so, else "does not hold". */
export const verdictOf = (so: boolean): Verdict => so ? "holds" : "does not hold";

/** "1,234,567". */
export const counted = (n: number): string => n.toLocaleString("en-US");

/** "0.019 %". */
export const percent = (share: number, digits = 3): string => `${(100 * share).toPrecision(digits)} %`;
