/** `graft methods -m MODEL`: the table of what each method costs. */
import type { MethodCosts } from "../../core/mod.ts";
import { showBytes, showCount, table } from "../terminal/output.ts";
import { terminalWidth, wrapped } from "../terminal/text.ts";

/** One method's costs, or why it cannot be used on the model. */
export type TableRow =
  & { readonly name: string; readonly setting: string }
  & ({ readonly facts: MethodCosts } | { readonly refused: string });

/** A share in percent, to two digits or so. */
export const percent = (n: number, of: number): string => {
  const p = 100 * n / of;
  return p >= 10 ? p.toFixed(1) : p >= 0.1 ? p.toFixed(2) : p.toPrecision(2);
};

/** The number of changed base weights, and of new ones that remain. */
export const different = ({ kept, kinds }: MethodCosts): number =>
  kinds.includes("A") ? kept.changed + kept.added : kept.changed;

/** A column of the table of costs: its heading and its cell. */
type Column = readonly [heading: string, cell: (facts: MethodCosts, setting: string) => string];

const TRAINABLE: readonly Column[] = [
  ["trainable", ({ trained }) => showCount(trained.trainable)],
  ["%", ({ trained }) => percent(trained.trainable, trained.base)],
];
const FILE: Column = ["file", ({ storage }) => showBytes(storage)];
const BACKWARD: Column = [
  "backprop",
  ({ backward }) => `${Math.round(100 * backward.reached / Math.max(1, backward.layers))} %`,
];
const MERGES: Column = ["merges", ({ merges }) => merges ? "yes" : "no"];

const NARROW: readonly Column[] = [...TRAINABLE, FILE, BACKWARD, MERGES];

const WIDE: readonly Column[] = [
  ["setting", (_, setting) => setting],
  ["type", ({ kinds }) => kinds.join("")],
  ...TRAINABLE,
  ["changed", (facts) => showCount(different(facts))],
  ["%", (facts) => percent(different(facts), facts.trained.base)],
  FILE,
  ["Adam state", ({ optimizer }) => showBytes(optimizer)],
  BACKWARD,
  MERGES,
  [
    "MAdds/token",
    ({ merges, multiplyAdds: { base, extra } }) =>
      merges ? "0" : `+${showCount(extra)} (${percent(extra, base)} %)`,
  ],
];

/** The table, in 80 columns or with all that are known. */
export function factsText(rows: readonly TableRow[], wide: boolean): string {
  const columns = wide ? WIDE : NARROW;
  const body = rows.map((row) => [
    row.name,
    ..."refused" in row
      ? wide ? [row.setting, "not on this model"] : ["not on this model"]
      : columns.map(([, cell]) => cell(row.facts, row.setting)),
  ]);
  return [
    table([["method", ...columns.map(([heading]) => heading)], ...body]),
    "",
    ...[
      "Each in the setting of its literature. file: the adapter's bytes. backprop: the share of the blocks' linear layers that a gradient passes. merges: into plain weights, at no cost afterwards.",
      wide
        ? "type: A adds parameters, S selects some of the model's, R moves them in another form. changed: of the model, or beside it. MAdds/token: more than the base's, once merged 0."
        : "--wide prints the settings, what is changed and the multiply-adds as well.",
    ].map((line) => wrapped(line, wide ? 120 : Math.min(terminalWidth(), 100))),
  ].join("\n");
}
