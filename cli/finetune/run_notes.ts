/** What a run says of itself, and how it opens its folder. */
import type { RunMode } from "../../io/run_folder.ts";
import type { StepReport } from "../../train/mod.ts";
import { showCount, showUnits } from "../terminal/output.ts";
import type { FinetuneFlags } from "./settings.ts";

/** How the run's folder is opened. */
export function modeOf({ resume, overwrite }: FinetuneFlags): RunMode {
  if (resume === true) return overwrite === true ? "resume overwrite" : "resume";
  return overwrite === true ? "overwrite" : "new";
}

/** Said of a step that loss scaling skipped. */
export const skipNote = ({ step, lossScale }: StepReport): string =>
  `step ${step}: gradients of the loss times ${lossScale} overflowed; nothing was updated, and the scale falls`;

/** What is said of rows that are as long as a row may be; undefined where there are none, or none that is longer is taken. */
export function fullNote(
  full: number,
  maxLength: number,
  { longPrompts }: Pick<FinetuneFlags, "longPrompts">,
): string | undefined {
  if (full === 0 || longPrompts === "refuse") return undefined;
  const [rows, kept] = [`${showUnits(full, "row")} ${full === 1 ? "has" : "have"}`, PART[longPrompts]];
  return `${rows} ${
    showCount(maxLength)
  } tokens, the most that are allowed: where a prompt is too long, only its ${kept} ` +
    "is kept. --max-length sets how much, --long-prompts which part";
}

const PART = { head: "beginning", tail: "end" } as const;
