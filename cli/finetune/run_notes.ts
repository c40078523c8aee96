/** What a run says of itself, and how it opens its folder. */
import type { RunMode } from "../../io/run_folder.ts";
import type { StepReport } from "../../train/mod.ts";
import type { FinetuneFlags } from "./settings.ts";

/** How the run's folder is opened. */
export function modeOf({ resume, overwrite }: FinetuneFlags): RunMode {
  if (resume === true) return overwrite === true ? "resume overwrite" : "resume";
  return overwrite === true ? "overwrite" : "new";
}

/** Said of a step that loss scaling skipped. */
export const skipNote = ({ step, lossScale }: StepReport): string =>
  `step ${step}: gradients of the loss times ${lossScale} overflowed; nothing was updated, and the scale falls`;

/** What happens to prompts that are too long. */
export const policy = ({ longPrompts }: FinetuneFlags): string =>
  longPrompts === "refuse" ? "none was cut" : `where a prompt was too long, its ${longPrompts} was kept`;
