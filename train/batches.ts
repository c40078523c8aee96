/**
 * The order of training: epochs, steps and micro-batches as a function of the data's sizes, the options and a
 * key. There is no other state, so a run resumes from (epoch, step) alone. The plan holds indices of
 * examples, never their tokens: the data may stay in a file.
 *
 * A step accumulates the gradients of several micro-batches. For a mean over the tokens of the whole step (not a mean of
 * means, which would give tokens of short micro-batches more weight), weigh each micro-batch's mean loss with
 * `microBatch.targets / step.targets`, or divide its summed loss by `step.targets`.
 */
import { positive } from "./buckets.ts";
import { type BatchOptions, epochPlan, type Position, type Step } from "./epoch_plan.ts";
import type { ExampleSizes } from "./micro_batch.ts";
import { rangeError } from "../errors/error.ts";

/**
 * The steps of one epoch: every example exactly once.
 *
 * @throws {RangeError} when there is not an example, an example is longer than a packed row, or an option is
 * out of range.
 * @example
 * ```ts
 * import { planEpoch } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const sizes = { lengths: [5, 9, 4, 8], targets: [1, 2, 3, 4] };
 * const options = { batching: { kind: "buckets", batchSize: 2 }, accumulate: 2, key: { a: 0, b: 7 } } as const;
 * const [step] = planEpoch(sizes, options, 0);
 * assert.equal(step?.targets, 10);
 * assert.equal(step?.microBatches.length, 2);
 * ```
 */
export function planEpoch(sizes: ExampleSizes, options: BatchOptions, epoch: number): readonly Step[] {
  const plan = epochPlan(sizes, options, epoch);
  return Array.from({ length: plan.steps }, (_, step) => plan.step(step));
}

/**
 * The steps from a position on, epoch after epoch, endlessly. A step number one past the end of its epoch
 * means the start of the next epoch, so `{ epoch, step: last + 1 }` resumes after the last step.
 *
 * @throws {RangeError} as `planEpoch`, or when the position does not exist.
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import { stepsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const sizes = { lengths: [5, 9], targets: [4, 8] };
 * const options = { batching: { kind: "buckets", batchSize: 1 }, key: key(0) } as const;
 * const steps = stepsFrom(sizes, options, { epoch: 0, step: 1 });
 * const places = [steps.next().value, steps.next().value].map(({ epoch, step }) => [epoch, step]);
 * assert.deepEqual(places, [[0, 1], [1, 0]]); // the last of one epoch, the first of the next
 * ```
 */
export function* stepsFrom(
  sizes: ExampleSizes,
  options: BatchOptions,
  start: Position = { epoch: 0, step: 0 },
): Generator<Step, never> {
  const { epoch: first, step: skip } = start;
  if (!Number.isInteger(first) || first < 0 || !Number.isInteger(skip) || skip < 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected epoch and step to be integers from 0 but found ${first} and ${skip}`,
    );
  }
  for (let epoch = first;; epoch++) {
    const steps = planEpoch(sizes, options, epoch);
    if (epoch === first && skip > steps.length) {
      throw rangeError(
        "CANNOT_RESUME",
        `Cannot resume at step ${skip} of epoch ${epoch}: it has ${steps.length} steps; the data or the batch options have changed`,
      );
    }
    yield* epoch === first ? steps.slice(skip) : steps;
  }
}

/**
 * The number of steps in a number of epochs, for schedules. With packing each epoch is planned separately, so
 * each one is counted; in buckets the number of examples decides alone, whose sizes need not be known.
 *
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import { countSteps } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const sizes = { lengths: [5, 9, 4], targets: [4, 8, 3] };
 * const options = { batching: { kind: "buckets", batchSize: 2 }, key: key(0) } as const;
 * assert.equal(countSteps(sizes, options, 3), 6); // two batches an epoch
 * ```
 */
export function countSteps(sizes: ExampleSizes, options: BatchOptions, epochs: number): number {
  positive("epochs", epochs);
  return total(Array.from({ length: epochs }, (_, epoch) => epochPlan(sizes, options, epoch).steps));
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);
