/** What a plan of a run is given. */
import { embed } from "../../models/mod.ts";
import {
  groupRowsFrom,
  objectiveGradients,
  type PlanOptions,
  ranking,
  type RowSizes,
} from "../../train/mod.ts";
import type { PlannedSizes } from "./planned_sizes.ts";
import { batchingOf, type ChosenFlags, optimizerName, optimizerOf, passesOf, rateOf } from "./settings.ts";

/** The training rows' sizes, and whether they stay together. */
export function rowSizes({ train: { lengths, targets }, groups = 0 }: PlannedSizes): RowSizes {
  return { lengths, targets, ...groups > 0 && { together: true } };
}

/** Options of the plan of a run, whose batch size counts texts. */
export function planOptions(
  flags: ChosenFlags,
  { evaluated, groups = 0 }: PlannedSizes,
  maxLength: number,
): PlanOptions {
  const embeds = groups > 0;
  const gradients = embeds
    ? objectiveGradients(ranking({ vectors: (tuned, batch, options) => embed(tuned, batch, options) }))
    : (flags.objective ?? "sft") === "sft"
    ? passesOf(flags)
    : undefined; // a method's own passes are for labels
  return {
    learningRate: rateOf(flags),
    batching: batchingOf(flags, maxLength),
    accumulate: flags.accumulate,
    chunkTokens: flags.chunkTokens,
    clip: flags.clip,
    labelSmoothing: flags.labelSmoothing,
    checkpointBlocks: flags.checkpointBlocks ?? false,
    seed: flags.seed,
    pad: 0,
    ...gradients !== undefined && { gradients },
    ...embeds && {
      rowsOf: (sizes) =>
        groupRowsFrom(sizes.map(({ length }) => ({
          texts: Array.from({ length: groups }, () => new Array<number>(length).fill(0)),
        }))),
    },
    ...evaluated !== undefined && {
      evaluated: { lengths: evaluated.lengths, targets: evaluated.targets, batchSize: flags.batchSize },
    },
    optimizer: optimizerOf(flags),
    state: optimizerName(flags) === "paged" ? "paged" : "resident",
  };
}
