/** The time and the disk that a planned run takes. */
import { type Adapter, type Backend, dispose, type Model } from "../../core/mod.ts";
import { shapesOn } from "../../core/trees/shapes_on.ts";
import { machineMemory } from "../../platform/machine_memory.ts";
import { recordingShapes } from "../../ops/recording.ts";
import type { CallSeconds } from "../../ops/timed_calls.ts";
import { plannedAdapter } from "../../tuning/planned_adapter.ts";
import type { MemoryPlan } from "../../train/mod.ts";
import { planTime } from "../../train/plan_time.ts";
import type { BackendFlags, BackendName } from "../load.ts";
import { showBytes, showCount, showSeconds } from "../terminal/output.ts";
import { planOptions, rowSizes } from "./plan_options.ts";
import type { PlannedSizes } from "./planned_sizes.ts";
import type { ChosenFlags, FinetuneFlags } from "./settings.ts";

/** The time of a run in seconds, measured here. */
export interface RunTime {
  readonly backend: BackendName;
  readonly threads?: number;
  /** A step, in the mean of an epoch. */
  readonly step: number;
  readonly stepsPerEpoch: number;
  /** An epoch without its evaluations. */
  readonly epoch: number;
  readonly tokensPerSecond: number;
  readonly evaluation: number;
  readonly evaluations: number;
  readonly steps: number;
  /** All steps and evaluations. */
  readonly total: number;
}

/** Threads that a backend computes on; undefined where that is not counted. */
export function threadsOf(
  backend: BackendName,
  { threads }: Pick<BackendFlags, "threads">,
): number | undefined {
  switch (backend) {
    case "native":
      return threads ?? navigator.hardwareConcurrency;
    case "wasm":
      return threads ?? Math.min(8, navigator.hardwareConcurrency);
    default:
      return undefined;
  }
}

/** Why a plan's time cannot be measured here, in words that follow "because"; undefined where it can. */
export function whyNotTimed({ total }: MemoryPlan, { capacity, name }: Backend): string | undefined {
  if (capacity !== undefined && total > capacity) {
    return `the ${name} backend holds ${showBytes(capacity)} at most`;
  }
  const machine = machineMemory();
  return machine === undefined || total <= machine.total
    ? undefined
    : `this machine has ${showBytes(machine.total)} of memory`;
}

/** What is measured of a run. */
export interface TimedPlan {
  /** Its shapes. */
  readonly model: Model;
  readonly flags: ChosenFlags & { readonly backend: BackendName };
  readonly sizes: PlannedSizes;
  readonly maxLength: number;
  readonly fresh: readonly string[];
  readonly backend: Backend;
  /** Seconds that measuring should take at most. */
  readonly budget: number;
  /** Measured before, on this backend. */
  readonly known?: CallSeconds;
}

/** Measures the time of a planned run: every kind of kernel call of its steps, once. */
export async function timeOf(
  { model: shapes, flags: given, sizes, maxLength, fresh, backend, budget, known }: TimedPlan,
): Promise<{ readonly time: RunTime; readonly known: CallSeconds }> {
  const flags = { ...given, batchSize: given.batchSize * sizes.texts };
  const recorder = recordingShapes(backend);
  const model = shapesOn(shapes, recorder.backend);
  const adapter: Adapter = plannedAdapter(model, flags, fresh);
  try {
    const measured = await planTime(
      { model, adapter, recorder, backend, budget, ...known && { known } },
      rowSizes(sizes),
      planOptions(flags, sizes, maxLength),
    );
    const { plan } = measured;
    const { rowsPerSize = 1 } = sizes;
    const stepsPerEpoch = Math.ceil(plan.steps * rowsPerSize);
    const steps = Math.min(flags.maxSteps ?? Infinity, flags.epochs * stepsPerEpoch);
    const evaluations = sizes.evaluated === undefined
      ? 0
      : 1 + Math.ceil(steps / (flags.evalEvery ?? Math.max(1, Math.ceil(steps / flags.epochs))));
    const threads = threadsOf(flags.backend, flags);
    return {
      time: {
        backend: flags.backend,
        ...threads !== undefined && { threads },
        step: plan.step,
        stepsPerEpoch,
        epoch: plan.epoch * rowsPerSize,
        tokensPerSecond: plan.tokens / plan.epoch,
        evaluation: plan.evaluation,
        evaluations,
        steps,
        total: steps * plan.step + evaluations * plan.evaluation,
      },
      known: measured.known,
    };
  } finally {
    dispose(adapter.params);
    model.dispose();
  }
}

/**
 * The most bytes that a run has on disk: two checkpoints for a moment, the best parameters and the result. Without the log, the
 * tokenizer and other files of some kilobytes.
 */
export function diskOf({ adapter, optimizer, paged }: MemoryPlan, { evaluated }: PlannedSizes): number {
  const state = adapter + optimizer + paged;
  const best = evaluated === undefined ? 0 : adapter;
  return Math.max(2 * state + best, state + 2 * best, state + best + adapter) + paged;
}

/** "2 h 5 min", and "0.12 s" where a second is long. */
const shown = (seconds: number): string =>
  seconds >= 10 ? showSeconds(seconds) : `${seconds.toPrecision(2)} s`;

/** What the plan says of time. Without data it knows a step of full rows, and not how many there are. */
export function showTime(time: RunTime, flags: Pick<FinetuneFlags, "rouge">, ofData: boolean): string {
  const { step, steps, epoch, evaluation, evaluations } = time;
  const evaluated = evaluations === 0 ? "" : ` and ${evaluations} evaluations of ${shown(evaluation)}`;
  const speed = `${showCount(time.tokensPerSecond)} tokens/s`;
  return [
    ofData
      ? `Time on ${whereOf(time)}: ${shown(time.total)}, ${showCount(steps)} steps of ${
        shown(step)
      }${evaluated}; ` +
        `${shown(epoch)} an epoch, ${speed}`
      : `Time on ${whereOf(time)}: ${shown(step)} a step of full rows, ${speed}`,
    `It is estimated from the kernels of a step, each timed here; loading, tokenizing${
      flags.rouge > 0 ? ", the texts of --rouge" : ""
    } and what a method prepares come on top`,
  ].join("\n");
}

/** "native, 2 threads". */
const whereOf = ({ backend, threads }: RunTime): string =>
  threads === undefined ? backend : `${backend}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
