/** What `graft compare` prints: a table that fits 80 columns, and what each method wrote. */
import { showBytes, showCount, showSeconds, table } from "../terminal/output.ts";
import { METRIC_NAMES } from "../metric_names.ts";
import type { Measured } from "./measure.ts";
import type { MethodResult } from "./method.ts";

/** A column: its heading and its cell for a method. */
type Column = readonly [heading: string, cell: (result: MethodResult) => string];

const fixed = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "–";

/** A value before and after training. */
const both = (of: (measured: Measured) => string) => ({ before, after }: MethodResult): string =>
  `${of(before)} → ${of(after)}`;

/** What was measured beside the loss: of written texts, or by the objective's metrics. */
function measures(results: readonly MethodResult[], wide: boolean): readonly Column[] {
  const digits = wide ? 3 : 2;
  const metrics = results[0]?.after.metrics ?? {};
  const named = Object.entries(METRIC_NAMES).flatMap(([name, heading]): readonly Column[] =>
    name in metrics ? [[heading, both((m) => fixed(m.metrics?.[name], digits))]] : []
  );
  if (named.length > 0) return named;
  if (results.some(({ after }) => after.rougeL === undefined)) return [];
  const share = (of: (m: Measured) => number | undefined): Column[1] =>
    wide ? both((m) => fixed(of(m), digits)) : ({ after }) => fixed(of(after), digits);
  return [
    ["ROUGE-L", both((m) => fixed(m.rougeL, digits))],
    ["precision", share((m) => m.precision)],
    ["recall", share((m) => m.recall)],
  ];
}

const METHOD: readonly Column[] = [
  ["method", ({ title }) => title],
  ["trainable", ({ trainable }) => showCount(trainable)],
];

const PEAK: Column = ["peak", ({ peak }) => showBytes(peak)];
const FILE: Column = ["file", ({ file }) => showBytes(file)];

const narrow = (measured: readonly Column[]): readonly Column[] => [
  ...METHOD,
  PEAK,
  ["loss", measured.length > 0 ? ({ after }) => fixed(after.loss, 2) : both((m) => fixed(m.loss, 2))],
  ...measured,
  FILE,
];

const widest = (measured: readonly Column[]): readonly Column[] => [
  ...METHOD,
  ["share", ({ trainable, base }) => `${(100 * trainable / base).toPrecision(3)} %`],
  ["weights", ({ weights }) => showBytes(weights)],
  PEAK,
  ["tokens/s", ({ tokensPerSecond }) => tokensPerSecond.toFixed(0)],
  ["held-out loss", both((m) => fixed(m.loss, 3))],
  ...measured,
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
  const measured = measures(results, wide === true);
  const columns = wide ? widest(measured) : narrow(measured);
  return [
    table([columns.map(([heading]) => heading), ...results.map((r) => columns.map(([, cell]) => cell(r)))]),
    "",
    `${steps} steps of ${batchSize} rows each, seed ${seed}; ${showSeconds(seconds)} in all.`,
    PEAK_AND_LOSS,
    ...measured.some(([heading]) => heading === "ROUGE-L") ? WRITTEN : [],
    ...measured.some(([heading]) => heading === "margin") ? REWARDS : [],
    "File: the adapter, or the whole model.",
  ].join("\n");
}

const PEAK_AND_LOSS = "Peak: live bytes while training, in its own process. Loss: of held-out rows.";

const WRITTEN: readonly string[] = [
  "Precision: of the names, numbers, dates and things in what it wrote, the share",
  "that stands in the conversation. Recall: of those wanted, the share it wrote.",
];

const REWARDS: readonly string[] = [
  "Accuracy: how often the chosen answer's reward is the higher one. Margin: by how",
  "much, in the mean.",
];
