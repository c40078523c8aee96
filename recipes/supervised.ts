/**
 * Supervised fine-tuning from the first step to the last: steps, evaluations, checkpoints, the best
 * parameters, early stopping, interruption. The caller decides what is written where; when, and in which
 * order, is decided here, so that a run killed at any moment and resumed ends bit-identically.
 */
import type { Tree } from "../core/mod.ts";
import {
  type EarlyStopping,
  type EarlyStoppingState,
  NOTHING_SEEN,
  observe,
  type Snapshot,
  type StepReport,
  type Training,
} from "../train/mod.ts";

/** The state of a run besides its tensors: plain JSON, for checkpoints. */
export type RunProgress = {
  /** Evaluations so far. */
  readonly seen: EarlyStoppingState;
  /** The step of the last finished evaluation; −1 before the first. */
  readonly evaluated: number;
};

/** The initial state of every run. */
export const RUN_START: RunProgress = { seen: NOTHING_SEEN, evaluated: -1 };

/** When to save, evaluate and stop. */
export interface Supervision {
  /** Steps between checkpoints; the last step is always followed by one. */
  readonly saveEvery: number;
  /** Steps between evaluations; step 0 and the last step are evaluated too. Default: none. */
  readonly evaluateEvery?: number;
  /** Default: never stop early. */
  readonly stopping?: EarlyStopping;
}

/** The actions of a run. Each is awaited. */
export interface RunCallbacks<Evaluation extends { readonly loss: number }> {
  /** Called after each step. */
  stepped(report: StepReport): void | Promise<void>;
  /** Evaluates the current parameters. Throws `Interruption` when told to stop. */
  evaluate(step: number): Promise<Evaluation>;
  /** Called after an evaluation. */
  evaluated(step: number, evaluation: Evaluation): void | Promise<void>;
  /** Saves the best parameters so far. */
  keepBest(step: number, params: Tree): Promise<void>;
  /** Writes a checkpoint. */
  save(snapshot: Snapshot, progress: RunProgress): Promise<void>;
  /** Whether to stop after this step. Asked after the program's pending events were handled. */
  interrupted(): boolean | Promise<boolean>;
  /** Whether the run is to end here, as early stopping ends it. Default: never. */
  enough?(): boolean | Promise<boolean>;
}

/** How a run ended. */
export type Outcome = "finished" | "stopped early" | "interrupted";

/**
 * Thrown by an evaluation that was told to stop.
 *
 * @example
 * ```ts
 * import { Interruption } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const stopped = new Interruption("stopped between two batches");
 * assert.equal(stopped.name, "Interruption");
 * ```
 */
export class Interruption extends Error {
  /** What went wrong, for programs. */
  readonly code: "INTERRUPTED" = "INTERRUPTED";

  /** Identifies the error class. */
  override readonly name = "Interruption";
}

/**
 * Runs until the last step, early stopping or an interruption. The last state is saved in all three cases.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, graft, lora, reference, smallConfig } from "@graft/peft";
 * import { supervise } from "@graft/peft/recipes";
 * import { heldOutLoss, rowsFrom, startTraining } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const run = await startTraining(model, adapt(model, lora({ rank: 2 })), rows, {
 *   learningRate: 0.05, batching: { kind: "buckets", batchSize: 1 }, epochs: 4, pad: 0,
 * });
 * const done: string[] = [];
 * const { outcome } = await supervise(run, { saveEvery: 2, evaluateEvery: 4 }, {
 *   stepped: ({ step }) => void done.push(`step ${step}`),
 *   evaluate: () => heldOutLoss(graft(model, run.adapter()), rows, { batchSize: 1, pad: 0 }),
 *   evaluated: () => void done.push("evaluated"),
 *   keepBest: () => Promise.resolve(),
 *   save: () => Promise.resolve(void done.push("saved")),
 *   interrupted: () => false,
 * });
 * assert.equal(outcome, "finished");
 * assert.deepEqual(done.filter((what) => !what.startsWith("step")), ["evaluated", "saved", "evaluated", "saved"]);
 * ```
 */
export async function supervise<P extends Tree, E extends { readonly loss: number }>(
  run: Training<P>,
  { saveEvery, evaluateEvery, stopping }: Supervision,
  callbacks: RunCallbacks<E>,
  start: RunProgress = RUN_START,
): Promise<{ readonly outcome: Outcome; readonly progress: RunProgress }> {
  let progress = start;
  let saved = { step: run.step > 0 ? run.step : -1, progress };
  const save = async (): Promise<void> => {
    if (saved.step === run.step && saved.progress === progress) return;
    await callbacks.save(run.snapshot(), progress);
    saved = { step: run.step, progress };
  };
  const due = (): boolean =>
    evaluateEvery !== undefined && progress.evaluated < run.step &&
    (run.step % evaluateEvery === 0 || run.step === run.totalSteps);
  /** Returns whether the evaluation was completed. */
  const evaluate = async (): Promise<boolean> => {
    const { step } = run;
    const evaluation = await unlessInterrupted(callbacks.evaluate(step));
    if (evaluation === undefined) return false;
    const seen = observe(progress.seen, { step, value: evaluation.loss }, stopping ?? { patience: 2 ** 31 });
    // First the parameters, then the record that names them: a kill in between repeats this evaluation.
    if (seen.improved) await callbacks.keepBest(step, run.snapshot().params);
    progress = { seen, evaluated: step };
    await callbacks.evaluated(step, evaluation);
    return true;
  };
  for (;;) {
    await events();
    if (await callbacks.interrupted() || (due() && !await evaluate())) {
      await save();
      return { outcome: "interrupted", progress };
    }
    const early = progress.seen.stop || (run.step < run.totalSteps && await callbacks.enough?.() === true);
    const ended = early || run.step >= run.totalSteps;
    if (ended || (run.step > 0 && run.step % saveEvery === 0)) {
      await save();
    }
    if (ended) return { outcome: early ? "stopped early" : "finished", progress };
    const report = await run.next();
    if (report !== undefined) await callbacks.stepped(report);
  }
}

async function unlessInterrupted<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Interruption) return undefined;
    throw error;
  }
}

/**
 * Lets signals and timers be handled, which nothing else does between steps of a synchronous backend.
 *
 * @example
 * ```ts
 * import { events } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * let asked = false;
 * setTimeout(() => asked = true, 0); // as a signal's handler would
 * await events();
 * assert.ok(asked);
 * ```
 */
export function events(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
