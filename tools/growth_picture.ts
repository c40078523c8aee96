/**
 * `deno task docs:picture`: bench/growth.svg, how time and memory of a LoRA step grow with tokens, rank and
 * blocks, from the rows `growth-*` of bench/results.json. Both axes are factors relative to the smallest
 * size, on doubling scales.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { endLabels, picture, Plot } from "../notebooks/plot.ts";

/** One measured size of a series: its size and cost, as multiples of the smallest. */
export interface Growth {
  readonly series: string;
  readonly cost: "time" | "memory";
  readonly size: number;
  readonly factor: number;
}

interface Result {
  readonly row: string;
  readonly peers: readonly {
    readonly peer: string;
    readonly time: { readonly median: number };
    readonly memory: number;
  }[];
}

/** The smallest size of each row, which is not compared with itself. */
const SMALLEST: Readonly<Record<string, number>> = { tokens: 128, rank: 1, layers: 2 };

/**
 * The points of the rows `growth-*`. A peer's ratio is the smallest's cost divided by its own. @throws
 * {RangeError} when a row is missing.
 */
export function growthPoints(results: readonly Result[]): readonly Growth[] {
  return Object.entries(SMALLEST).flatMap(([series, smallest]) => {
    const row = results.find(({ row }) => row === `growth-${series}`);
    if (row === undefined) throw new RangeError(`bench/results.json has no growth-${series}`);
    return (["time", "memory"] as const).flatMap((cost): readonly Growth[] => [
      { series, cost, size: 1, factor: 1 },
      ...row.peers.map(({ peer, time, memory }) => ({
        series,
        cost,
        size: Number(peer) / smallest,
        factor: 1 / (cost === "time" ? time.median : memory),
      })),
    ]);
  });
}

const COLOURS = { time: "#0072b2", memory: "#d55e00" };

/** The picture, an SVG. */
export function growthPicture(points: readonly Growth[]): string {
  const names = Object.keys(SMALLEST);
  const linear = names.flatMap((series) => {
    const most = Math.max(...points.filter((p) => p.series === series).map((p) => p.size));
    return [1, most].map((size) => ({ series, size, factor: size }));
  });
  const shared = { x: "size", y: "factor", fx: "series" } as const;
  const coloured = { ...shared, z: "cost", stroke: (p: Growth) => COLOURS[p.cost] };
  const { media } = picture(
    "Time and memory of a LoRA step over tokens, rank and blocks, as factors over the smallest size",
    {
      width: 900,
      marginRight: 60,
      fx: { domain: names, label: null, padding: 0.25 },
      x: { type: "log", base: 2, label: "times the smallest size", tickFormat: (n: number) => `${n}` },
      y: {
        type: "log",
        base: 2,
        domain: [0.8, 32],
        label: "times its cost",
        grid: true,
        tickFormat: (n: number) => `${n}`,
      },
      marks: [
        Plot.line(linear, { ...shared, z: "series", stroke: "#aaa", strokeDasharray: "4 4", clip: true }),
        Plot.line(points, coloured),
        Plot.dot(points, { ...coloured, r: 2.5 }),
        ...names.map((name) =>
          endLabels(points.filter((p) => p.series === name), {
            ...shared,
            z: "cost",
            fill: (p: Growth) => COLOURS[p.cost],
          })
        ),
      ],
    },
  );
  return `${media["image/svg+xml"]}\n`;
}

if (import.meta.main) {
  const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
  const { results } = JSON.parse(readFileSync(at("bench/results.json"), "utf8"));
  writeFileSync(at("bench/growth.svg"), growthPicture(growthPoints(results)));
}
