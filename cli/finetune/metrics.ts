/** The metrics file of a run, and the same for TensorBoard where it is asked for. */
import { closeSync, openSync, readFileSync } from "node:fs";
import type { RunFolder } from "../../io/run_folder.ts";
import { writeAt } from "../../platform/files.ts";
import { scalarRecord, versionRecord } from "../../train/event_file.ts";
import { createMetricsLog, type MetricsEntry, type MetricsLog, resumeMetricsLog } from "../../train/mod.ts";

/** How a run's metrics are kept. */
export interface MetricsFlags {
  /** Another form beside the metrics file. */
  readonly report?: "tensorboard";
}

/** The name that TensorBoard looks for. */
const EVENTS = "events.out.tfevents.graft";

/** Opens the metrics of a new run, or those of one that goes on after a step. */
export function openMetrics(
  { report }: MetricsFlags,
  folder: RunFolder,
  step: number | undefined,
): MetricsLog {
  const log = step === undefined ? createMetricsLog(folder.metrics) : resumeMetricsLog(folder.metrics, step);
  return report === undefined ? log : withEvents(log, folder);
}

/** A log that also writes events, after those of what it has already. */
function withEvents(log: MetricsLog, folder: RunFolder): MetricsLog {
  const handle = openSync(folder.metrics.replace(/[^/\\]*$/, EVENTS), "w");
  const now = (): number => Date.now() / 1000;
  const write = (entry: MetricsEntry): void =>
    writeAt(handle, null, scalarRecord({ wallTime: now(), step: entry.step, scalars: scalarsOf(entry) }));
  writeAt(handle, null, versionRecord(now()));
  const earlier = readFileSync(folder.metrics, "utf8").split("\n").filter((line) => line !== "");
  for (const line of earlier) write(JSON.parse(line));
  return {
    append(entry) {
      log.append(entry);
      write(entry);
    },
    [Symbol.dispose]() {
      closeSync(handle);
      log[Symbol.dispose]();
    },
  };
}

/** "train/loss", "eval/loss": the numbers of a line under TensorBoard's names. */
function scalarsOf({ step: _, ...values }: MetricsEntry): Readonly<Record<string, number>> {
  const evaluated = "evalLoss" in values;
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => {
      const number = Number(value); // infinities and NaN are written as their names
      if (typeof value === "boolean" || (Number.isNaN(number) && value !== "NaN")) return [];
      return [[evaluated ? `eval/${name === "evalLoss" ? "loss" : name}` : `train/${name}`, number] as const];
    }),
  );
}
