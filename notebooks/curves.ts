/** Loss curves, live: every run so far as a line, the present one growing. */
import { bar, type Live, live } from "./live.ts";
import { COLOURS, picture, Plot } from "./plot.ts";
import { type Shown, stacked } from "./shown.ts";
import type { Point } from "./tune.ts";

/** A run by name. */
export interface Curve {
  readonly name: string;
  readonly points: readonly Point[];
}

/** Lines of the training loss over steps, each the running mean of five, named where they end. */
export function lossPlot(curves: readonly Curve[], steps: number): Shown {
  const rows = curves.flatMap(({ name, points }) =>
    points.map(({ step }, i) => {
      const near = points.slice(Math.max(0, i - 4), i + 1);
      return { name, step, loss: near.reduce((sum, p) => sum + p.loss, 0) / near.length };
    })
  );
  const names = curves.map(({ name }) => name);
  const line = { x: "step", y: "loss" } as const;
  const losses = rows.map(({ loss }) => loss);
  const apart = 0.05 * (Math.max(...losses, 1) - Math.min(...losses, 1));
  return picture(`Training loss over ${steps} steps: ${names.join(", ")}`, {
    marginRight: 130,
    grid: true,
    x: { label: "step", domain: [0, steps] },
    y: { label: "training loss (mean of five steps)", nice: true },
    color: { domain: names, range: COLOURS.slice(0, names.length) },
    marks: [
      // Every other line has gaps, so that one which lies on another hides nothing.
      ...names.map((name, i) =>
        Plot.line(rows.filter((row) => row.name === name), {
          ...line,
          stroke: "name",
          strokeWidth: 2,
          ...i > 0 && i % 2 === 0 && { strokeDasharray: "7 5" },
        })
      ),
      Plot.text(spread(lastOf(rows), apart), {
        ...line,
        ...{ text: "name", fill: "name", textAnchor: "start", dx: 6 },
      }),
    ],
  });
}

interface Row {
  readonly name: string;
  readonly step: number;
  readonly loss: number;
}

const lastOf = (
  rows: readonly Row[],
): readonly Row[] => [...new Map(rows.map((row) => [row.name, row])).values()];

/** Names of lines that end close together are moved apart, in the order of their ends. */
export function spread(ends: readonly Row[], apart: number): readonly Row[] {
  let above = -Infinity;
  return [...ends].sort((a, b) => a.loss - b.loss).map((row) => {
    above = Math.max(row.loss, above + apart);
    return { ...row, loss: above };
  });
}

/** A plot under a bar that `stepped` moves. */
export interface LiveCurves {
  /** Starts a run's line. */
  begin(name: string): void;
  stepped(point: Point): Promise<void>;
  readonly curves: readonly Curve[];
}

/** Shows an empty plot and gives what fills it. The plot is drawn anew every `every` steps. */
export async function liveCurves(runs: number, steps: number, every = 5): Promise<LiveCurves> {
  const curves: { readonly name: string; readonly points: Point[] }[] = [];
  const view = (): Shown => {
    const done = curves.reduce((n, { points }) => n + points.length, 0);
    const now = curves.at(-1);
    const caption = done === runs * steps
      ? "done"
      : `${now?.name ?? ""} ${now?.points.at(-1)?.loss.toFixed(2) ?? ""}`;
    return stacked(bar(done, runs * steps, caption), lossPlot(curves, steps));
  };
  const output: Live = await live(view());
  return {
    curves,
    begin: (name) => void curves.push({ name, points: [] }),
    stepped: async (point) => {
      curves.at(-1)!.points.push(point);
      if (point.step % every === 0 || point.step === steps) await output.update(view());
    },
  };
}
