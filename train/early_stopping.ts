/**
 * Early stopping: a pure state machine over evaluations. The state is plain JSON, so a checkpoint can hold it.
 *
 * Two values are tracked, which differ when `minDelta` is above 0: the best value so far, whose checkpoint is
 * the one to keep, and the last value that improved on the previous such value by more than `minDelta`, from
 * which patience counts. So a run that improves by less than `minDelta` each time is stopped unless its small
 * improvements add up.
 */
import { rangeError } from "../errors/error.ts";

/** When to stop. */
export interface EarlyStopping {
  /** Evaluations without progress after which to stop: an integer above 0. */
  readonly patience: number;
  /** What counts as progress: more than this. Default: 0. */
  readonly minDelta?: number;
  /** Which values are better. Default: "lower", as for losses. */
  readonly goal?: "lower" | "higher";
}

/** The state after some evaluations. */
export type EarlyStoppingState = {
  /** The best value and its step; absent before the first value. */
  readonly best?: { readonly step: number; readonly value: number };
  /** The last value that was progress; absent before the first value. */
  readonly progress?: number;
  /** Evaluations since then. */
  readonly waited: number;
  /** Whether the last evaluation was the best so far: the moment to keep its checkpoint. */
  readonly improved: boolean;
  /** Whether to stop now. */
  readonly stop: boolean;
};

/** The state before any evaluation. */
export const NOTHING_SEEN: EarlyStoppingState = { waited: 0, improved: false, stop: false };

/**
 * The state after one more evaluation. NaN is never progress and never the best.
 *
 * @throws {RangeError} when patience is not an integer above 0 or minDelta is negative.
 * @example
 * ```ts
 * import { NOTHING_SEEN, observe } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const states = [2, 1, 1.5, 1.25].reduce(
 *   (seen, value, step) => [...seen, observe(seen.at(-1)!, { step, value }, { patience: 2 })],
 *   [NOTHING_SEEN],
 * );
 * assert.deepEqual(states.map((state) => state.stop), [false, false, false, false, true]);
 * assert.deepEqual(states.at(-1)!.best, { step: 1, value: 1 });
 * ```
 */
export function observe(
  state: EarlyStoppingState,
  evaluation: { readonly step: number; readonly value: number },
  { patience, minDelta = 0, goal = "lower" }: EarlyStopping,
): EarlyStoppingState {
  if (!Number.isInteger(patience) || patience < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected patience to be an integer greater than 0 but found ${patience}`,
    );
  }
  if (!(minDelta >= 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected minDelta to be at least 0 but found ${minDelta}`);
  }
  const { step, value } = evaluation;
  // How much better than another value; above 0 is better.
  const gain = (than: number) => (goal === "lower" ? than - value : value - than);
  const isNumber = !Number.isNaN(value);
  const improved = isNumber && (state.best === undefined || gain(state.best.value) > 0);
  const progressed = isNumber && (state.progress === undefined || gain(state.progress) > minDelta);
  const waited = progressed ? 0 : state.waited + 1;
  return {
    ...state,
    ...(improved && { best: { step, value } }),
    ...(progressed && { progress: value }),
    waited,
    improved,
    stop: waited >= patience,
  };
}
