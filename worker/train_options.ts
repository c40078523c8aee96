/** Options of training that are data, as the training loop takes them. */
import { fold, key } from "../core/mod.ts";
import {
  adamw,
  adamw8bit,
  constant,
  cosine,
  countSteps,
  inverseSquareRoot,
  linear,
  mostTokens,
  type Optimizer,
  polynomial,
  resident,
  type Rows,
  type Schedule,
  sgd,
  type TrainOptions,
} from "../train/mod.ts";
import type { NamedOptimizer, NamedSchedule, WorkerTrainOptions } from "./jobs.ts";
import { rangeError } from "../errors/error.ts";

/** See the module's comment. @param pad The token to pad with where none is given. */
export function trainOptions(options: WorkerTrainOptions, rows: Rows, pad: number): TrainOptions {
  const { schedule, optimizer, ...plain } = options;
  return {
    pad,
    ...plain,
    ...schedule && { schedule: scheduleOf(schedule, stepsOf(options, rows)) },
    ...optimizer && { moments: (params) => resident(optimizerOf(optimizer), params) },
  };
}

/** Steps of the whole run. */
export function stepsOf(options: WorkerTrainOptions, rows: Rows): number {
  const { batching, accumulate = 1, epochs = 1, maxSteps = Infinity, seed = 0 } = options;
  const order = {
    batching,
    accumulate,
    chunkTokens: mostTokens(rows, options.chunkTokens),
    key: fold(key(seed), "order"),
  };
  return Math.min(maxSteps, countSteps(rows, order, epochs));
}

/** The schedule of a name. @throws {RangeError} when there is none. */
export function scheduleOf({ kind, warmUp: given = 0 }: NamedSchedule, totalSteps: number): Schedule {
  const warmUp = given < 1 ? { ratio: given, of: totalSteps } : Math.min(given, totalSteps);
  switch (kind) {
    case "constant":
      return constant({ warmUp });
    case "linear":
      return linear({ totalSteps, warmUp });
    case "cosine":
      return cosine({ totalSteps, warmUp });
    case "polynomial":
      return polynomial({ totalSteps, warmUp });
    case "inverseSquareRoot":
      return inverseSquareRoot({ warmUp });
    default:
      throw unknown("schedule", kind satisfies never);
  }
}

/** The optimizer of a name. @throws {RangeError} when there is none. */
export function optimizerOf(named: NamedOptimizer): Optimizer {
  switch (named.kind) {
    case "adamw":
      return adamw(named);
    case "adamw8bit":
      return adamw8bit(named);
    case "sgd":
      return sgd(named);
    default:
      throw unknown("optimizer", named satisfies never);
  }
}

const unknown = (what: string, found: unknown): RangeError =>
  rangeError("INVALID_ARGUMENT", `The ${what} ${JSON.stringify(found)} is not known`);
