/** The table of a sweep: one row per run, the lowest held-out loss first. */
import { showBytes, showCount, showSeconds, table } from "../terminal/output.ts";
import type { SweepRun } from "./runs.ts";

/** Runs by their held-out loss; those without one come last. */
export function sorted(runs: readonly SweepRun[]): readonly SweepRun[] {
  // A diverged run has a NaN loss.
  const rank = ({ result }: SweepRun): number =>
    result === undefined ? Infinity : Number.isFinite(result.loss) ? result.loss : Number.MAX_VALUE;
  return runs.toSorted((a, b) => rank(a) === rank(b) ? 0 : rank(a) - rank(b));
}

/**
 * Columns: the varied options, the loss, its mean over the seeds of a point if there are several, and the
 * cost of a run.
 */
export function sweepTable(runs: readonly SweepRun[]): string {
  const names = Object.keys(runs[0]!.point);
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  const heading = [
    ...names,
    ...seeds > 1 || names.length === 0 ? ["seed"] : [],
    "held-out loss",
    ...seeds > 1 ? ["mean of seeds"] : [],
    ...["steps", "trained", "memory", "time"],
  ];
  const rows = sorted(runs).map((run) => {
    const { point, seed, result } = run;
    return [
      ...names.map((name) => point[name]!),
      ...heading.includes("seed") ? [String(seed)] : [],
      result === undefined ? "failed" : result.loss.toFixed(4),
      ...seeds > 1 ? [meanOver(runs, run)] : [],
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
