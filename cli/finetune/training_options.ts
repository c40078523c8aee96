/** Converts flags to the options of the training loop, for a run and for the stages before it. */
import { fold, key } from "../../core/mod.ts";
import {
  countSteps,
  type Objective,
  objectiveGradients,
  paged,
  resident,
  type Rows,
  type TrainOptions,
  type World,
} from "../../train/mod.ts";
import {
  batchingOf,
  type ChosenFlags,
  optimizerName,
  optimizerOf,
  passesOf,
  rateOf,
  scheduleOf,
} from "./settings.ts";
import type { StageRun } from "../../tuning/stages.ts";
import { type Progress, progress } from "../terminal/progress.ts";

/**
 * Options of a run.
 *
 * @param total The number of steps, if known.
 * @param world The processes that train together.
 * @param objective Default: supervised fine-tuning, in the method's own way if it has one.
 */
export function trainOptionsOf(
  flags: ChosenFlags,
  maxLength: number,
  pad: number,
  total: () => number,
  world: World,
  objective?: Objective,
): TrainOptions {
  const gradients = objective === undefined ? passesOf(flags) : objectiveGradients(objective);
  return {
    learningRate: rateOf(flags),
    schedule: (step) => scheduleOf(flags, total())(step),
    moments: (params) =>
      optimizerName(flags) === "paged"
        ? paged(
          optimizerOf(flags),
          params,
          flags.pagedBudget === undefined ? {} : { hostBudget: flags.pagedBudget },
        )
        : resident(optimizerOf(flags), params),
    batching: batchingOf(flags, maxLength),
    accumulate: flags.accumulate,
    chunkTokens: flags.chunkTokens,
    epochs: flags.epochs,
    ...flags.maxSteps !== undefined && { maxSteps: flags.maxSteps },
    clip: flags.clip,
    ...flags.precision === "f16" && { lossScale: {} },
    labelSmoothing: flags.labelSmoothing,
    checkpointBlocks: flags.checkpointBlocks ?? false,
    seed: flags.seed,
    pad,
    world,
    ...gradients !== undefined && { gradients },
  };
}

/** Stages train as the run does, each with its own schedule. */
export function stagesOf(
  flags: ChosenFlags,
  rows: Rows,
  maxLength: number,
  pad: number,
  world: World,
  objective?: Objective,
): StageRun {
  const order = {
    batching: batchingOf(flags, maxLength),
    accumulate: flags.accumulate,
    key: fold(key(flags.seed), "order"),
  };
  return {
    // Counted on demand: this plans every epoch, and most methods have no stages.
    get steps() {
      return Math.min(flags.maxSteps ?? Infinity, countSteps(rows, order, flags.epochs));
    },
    options: (steps) => {
      let shown: Progress | undefined;
      let before = performance.now();
      return {
        ...trainOptionsOf(flags, maxLength, pad, () => steps, world, objective),
        maxSteps: steps,
        stepped: ({ step, loss, tokens }) => {
          shown ??= progress(steps, 0);
          const now = performance.now();
          shown.step({ step, loss, tokensPerSecond: tokens * 1000 / (now - before) });
          before = now;
          if (step === steps) shown.stop();
        },
      };
    },
  };
}
