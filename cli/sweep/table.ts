/** The table of a sweep: one row per run, the lowest held-out loss first. */
import { showBytes, showCount, showSeconds, table } from "../terminal/output.ts";
import { METRIC_NAMES } from "../metric_names.ts";
import type { SweepRun } from "./runs.ts";

/** Options whose values change what the loss is, so that losses of runs are no longer about the same. */
const OF_LOSS = [
  "objective",
  "beta",
  "pair-loss",
  "label-smoothing",
  "center",
  "temperature",
  "divergence",
  "margin",
  "symmetric",
];

const ACCURACY = "rewards/accuracies";

/**
 * Runs by their held-out loss; where an option is varied that changes the loss itself, by how often the chosen answer's reward is the
 * higher one, if all have that. Those without a result come last.
 */
export function sorted(runs: readonly SweepRun[]): readonly SweepRun[] {
  const finished = runs.flatMap(({ result }) => result ?? []);
  const byAccuracy = runs.some(({ point }) => OF_LOSS.some((name) => name in point)) &&
    finished.every(({ metrics }) => metrics !== undefined && ACCURACY in metrics);
  // A diverged run has a NaN loss.
  const rank = ({ result }: SweepRun): number =>
    result === undefined
      ? Infinity
      : !Number.isFinite(result.loss)
      ? Number.MAX_VALUE
      : byAccuracy
      ? -result.metrics![ACCURACY]!
      : result.loss;
  return runs.toSorted((a, b) => rank(a) === rank(b) ? 0 : rank(a) - rank(b));
}

/**
 * Columns: the varied options, the loss, its mean over the seeds of a point if there are several, what else was measured, and the
 * cost of a run.
 */
export function sweepTable(runs: readonly SweepRun[]): string {
  const names = Object.keys(runs[0]!.point);
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  const measured = Object.keys(METRIC_NAMES).filter((name) =>
    runs.some(({ result }) => name in (result?.metrics ?? {}))
  );
  const heading = [
    ...names,
    ...seeds > 1 || names.length === 0 ? ["seed"] : [],
    "held-out loss",
    ...seeds > 1 ? ["mean of seeds"] : [],
    ...measured.map((name) => METRIC_NAMES[name]!),
    ...["steps", "trained", "memory", "time"],
  ];
  const rows = sorted(runs).map((run) => {
    const { point, seed, result } = run;
    return [
      ...names.map((name) => point[name]!),
      ...heading.includes("seed") ? [String(seed)] : [],
      result === undefined ? "failed" : result.loss.toFixed(4),
      ...seeds > 1 ? [meanOver(runs, run)] : [],
      ...measured.map((name) => result?.metrics?.[name]?.toFixed(3) ?? "–"),
      ...result === undefined ? ["–", "–", "–", "–"] : [
        String(result.steps),
        showCount(result.trainable),
        showBytes(result.peak),
        showSeconds(result.seconds),
      ],
    ];
  });
  return table([heading, ...rows]);
}

/** The mean loss of the finished runs at a run's point. */
function meanOver(runs: readonly SweepRun[], { point }: SweepRun): string {
  const same = JSON.stringify(point);
  const losses = runs.flatMap(({ point, result }) =>
    result !== undefined && JSON.stringify(point) === same ? [result.loss] : []
  );
  return losses.length === 0 ? "–" : (losses.reduce((a, b) => a + b, 0) / losses.length).toFixed(4);
}
