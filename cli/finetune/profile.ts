/**
 * `finetune --profile`: which kernels a training step runs on the GPU, how often, and with how many
 * operations per byte.
 */
import type { Backend } from "../../core/mod.ts";
import type { GpuBackend, Profile } from "../../ops/gpu/mod.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import type { BackendFlags } from "../load.ts";
import { showBytes, showCount, table } from "../terminal/output.ts";

/** The profile of one step. */
type Step = Profile;

/** A profiler of steps. */
export interface StepProfiler {
  /** Called after each step. */
  stepped(): void;
  /** The table of the step that ran the fewest kernels: one without an evaluation or a checkpoint. */
  show(): string;
}

/** @throws {UsageError} on `--profile` with a backend without profiling. */
export function checkProfile({ backend, profile }: BackendFlags): void {
  if (profile === true && backend !== "gpu") {
    throw new UsageError("Expected --backend gpu with --profile: other backends count no kernels");
  }
}

/** A profiler of a backend; undefined for one without profiling, see `checkProfile`. */
export function stepProfiler(backend: Backend): StepProfiler | undefined {
  if (!isGpu(backend)) return undefined;
  let last = backend.profile();
  let least: Step | undefined;
  return {
    stepped(): void {
      const now = backend.profile();
      const step = difference(last, now);
      if (least === undefined || calls(step) < calls(least)) least = step;
      last = now;
    },
    show: () => least === undefined ? "No step was taken" : showStep(backend.adapter, least),
  };
}

const isGpu = (backend: Backend): backend is GpuBackend => backend.name === "gpu" && "profile" in backend;

const total = (step: Step, what: "calls" | "bytes" | "operations"): number =>
  [...step.kernels.values()].reduce((sum, tally) => sum + tally[what], 0);

const calls = (step: Step): number => total(step, "calls");

function difference(before: Profile, after: Profile): Step {
  const kernels = [...after.kernels].map(([name, tally]) => {
    const old = before.kernels.get(name);
    return [name, {
      calls: tally.calls - (old?.calls ?? 0),
      bytes: tally.bytes - (old?.bytes ?? 0),
      operations: tally.operations - (old?.operations ?? 0),
      ...tally.nanoseconds !== undefined && { nanoseconds: tally.nanoseconds - (old?.nanoseconds ?? 0) },
    }] as const;
  });
  return {
    kernels: new Map(kernels.filter(([, { calls }]) => calls > 0)),
    submissions: after.submissions - before.submissions,
  };
}

/** Rows sorted by time if measured, otherwise by bytes. */
function showStep(adapter: string, step: Step): string {
  const timed = [...step.kernels.values()].some(({ nanoseconds }) => nanoseconds !== undefined);
  const rows = [...step.kernels].sort(([, a], [, b]) =>
    timed ? (b.nanoseconds ?? 0) - (a.nanoseconds ?? 0) : b.bytes - a.bytes
  ).map(([name, { calls, bytes, operations, nanoseconds = 0 }]) => [
    ...[
      name,
      showCount(calls),
      showBytes(bytes),
      showOperations(operations),
      (operations / bytes).toFixed(1),
    ],
    ...timed ? [(nanoseconds / 1e6).toFixed(1)] : [],
  ]);
  const heading = ["kernel", "calls", "bytes", "operations", "operations a byte", ...timed ? ["ms"] : []];
  const [bytes, operations] = [total(step, "bytes"), total(step, "operations")];
  return [
    `A step on ${adapter}: ${showCount(calls(step))} kernels in ${step.submissions} submissions, ${
      showBytes(bytes)
    } ` +
    `bound, ${showOperations(operations)} in products and attention, ${
      (operations / bytes).toFixed(1)
    } a byte`,
    table([heading, ...rows]),
  ].join("\n");
}

const showOperations = (n: number): string => n === 0 ? "0" : `${(n / 1e9).toPrecision(3)} G`;
