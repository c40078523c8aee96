/** What `graft compare` prints: a table that fits 80 columns, and what each method wrote. */
import { showBytes, showCount, showSeconds, table } from "../terminal/output.ts";
import type { Measured, MethodResult } from "./method.ts";

/** A column: its heading and its cell for a method. */
type Column = readonly [heading: string, cell: (result: MethodResult) => string];

const fixed = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "–";

/** A value before and after training. */
const both = (of: (measured: Measured) => string) => ({ before, after }: MethodResult): string =>
  `${of(before)} → ${of(after)}`;

const METHOD: readonly Column[] = [
  ["method", ({ title }) => title],
  ["trainable", ({ trainable }) => showCount(trainable)],
];

const PEAK: Column = ["peak", ({ peak }) => showBytes(peak)];
const FILE: Column = ["file", ({ file }) => showBytes(file)];

const NARROW: readonly Column[] = [
  ...METHOD,
  PEAK,
  ["loss", ({ after }) => fixed(after.loss, 2)],
  ["ROUGE-L", both((m) => fixed(m.rougeL, 2))],
  ["precision", ({ after }) => fixed(after.precision, 2)],
  ["recall", ({ after }) => fixed(after.recall, 2)],
  FILE,
];

const WIDE: readonly Column[] = [
  ...METHOD,
  ["share", ({ trainable, base }) => `${(100 * trainable / base).toPrecision(3)} %`],
  ["weights", ({ weights }) => showBytes(weights)],
  PEAK,
  ["tokens/s", ({ tokensPerSecond }) => tokensPerSecond.toFixed(0)],
  ["held-out loss", both((m) => fixed(m.loss, 3))],
  ["ROUGE-L", both((m) => fixed(m.rougeL, 3))],
  ["precision", both((m) => fixed(m.precision, 3))],
  ["recall", both((m) => fixed(m.recall, 3))],
  FILE,
  ["time", ({ seconds }) => showSeconds(seconds)],
];

/** How the methods were compared. */
export interface Comparison {
  readonly steps: number;
  readonly batchSize: number;
  readonly seed: number;
  /** Of all methods together. */
  readonly seconds: number;
  /** Whether to print every column. */
  readonly wide?: true;
}

/** The table, and what its columns are. */
export function comparison(
  results: readonly MethodResult[],
  { steps, batchSize, seed, seconds, wide }: Comparison,
): string {
  const columns = wide ? WIDE : NARROW;
  return [
    table([columns.map(([heading]) => heading), ...results.map((r) => columns.map(([, cell]) => cell(r)))]),
    "",
    `${steps} steps of ${batchSize} rows each, seed ${seed}; ${showSeconds(seconds)} in all.`,
    ...LEGEND,
  ].join("\n");
}

const LEGEND: readonly string[] = [
  "Peak: live bytes while training, in its own process. Loss: of held-out rows.",
  "Precision: of the names, numbers, dates and things in what it wrote, the share",
  "that stands in the conversation. Recall: of those wanted, the share it wrote.",
  "File: the adapter, or the whole model.",
];
