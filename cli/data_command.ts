/** `graft data`: what a file of examples holds and how it will be trained. */
import { loadTokenizerOf } from "../io/load_model.ts";
import { SHAPE_FIELDS } from "../train/mod.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { type DataFlags, dataFlags, rowLength } from "./data.ts";
import { exampleOptions } from "./tokenizing/text_rows.ts";
import { trainedCount } from "./data_command/entries.ts";
import { examine, type Examined } from "./data_command/examine.ts";
import { dataSource } from "./data_source.ts";
import { localShapes } from "./load.ts";
import { modelOption, modelSource } from "./model_source.ts";
import { checkpointShapes } from "../io/model_shapes.ts";
import { type Command, helpAll, integer, onePath } from "./terminal/arguments.ts";
import { histogram, percentile } from "./terminal/histogram.ts";
import { print, printJson, showCount, showUnits, table } from "./terminal/output.ts";
import { markingOf, trainedText } from "./terminal/trained_text.ts";

const ENDING = `
Example:
  graft data train.parquet -m model.gguf
Files: .jsonl, .json, .csv, .tsv, .parquet, plain, .gz or .zst; folders; hub ids
Shapes, told by the first row's fields:
${
  Object.entries(SHAPE_FIELDS).map(([name, fields]) => `  ${name.padEnd(18)} ${fields.join(", ")}`).join("\n")
}`;

interface DataCommandFlags extends Omit<DataFlags, "data"> {
  readonly model?: string;
  readonly rows: number;
  readonly json?: true;
}

/** Registers the command. */
export function data(program: Command): void {
  const command = program.command("data")
    .description("Show a file of examples: sizes, faults, rows as trained")
    .argument("<path|id>", "file, folder or hub id")
    .option(...modelOption(), onePath)
    .option("--rows <n>", "rows to print as they are trained", integer(0), 3)
    .option("--json", "print JSON");
  dataFlags(command, "not used here");
  for (const own of command.options) {
    if (["held-out", "split-seed", "long-prompts"].includes(own.name())) own.hideHelp();
  }
  helpAll(command).addHelpText("after", ENDING)
    .action(async (path: string) => await run(path, command.opts<DataCommandFlags>()));
}

async function run(named: string, flags: DataCommandFlags): Promise<void> {
  const path = await dataSource(named);
  const source = await localShapes(await modelSource(flags));
  const tokenizer = await loadTokenizerOf(source);
  if (tokenizer === undefined) {
    throw new UsageError(`Expected --model with a tokenizer but ${source} has none`);
  }
  const shapes = checkpointShapes(source);
  const maxLength = rowLength(flags, shapes);
  shapes.dispose();
  const { eos, ...rest } = tokenizer;
  const found = await examine(path, { ...rest, ...eos !== undefined && { eos } }, {
    ...exampleOptions(flags),
    maxLength,
    show: flags.rows,
    ...flags.limit !== undefined && { limit: flags.limit },
  });
  if (flags.json === true) {
    const { lengths, sizes, tokens, trained, shown, classes, ...others } = found;
    printJson({
      path: named,
      maxLength,
      ...others,
      ...classes.size > 0 && { classes: Object.fromEntries(classes) },
      tokens: percentilesOf(lengths),
      trainedTokens: percentilesOf(sizes.get("trained") ?? []),
      tokensByText: Object.fromEntries([...sizes].map(([name, values]) => [name, percentilesOf(values)])),
      totalTokens: { all: tokens, trained },
      shown: shown.map(({ at, texts, label }) => ({
        at,
        ...texts.length === 1
          ? texts[0]!.tokens
          : { texts: texts.map(({ name, tokens }) => ({ name, ...tokens })) },
        ...label !== undefined && { label },
      })),
    });
    return;
  }
  print(report(named, found, maxLength));
  const marking = markingOf(1);
  const marked = `trained tokens ${marking === "colour" ? "in colour" : "underlined"}`;
  for (const { at, texts, label } of found.shown) {
    const isTrained = texts.some(({ tokens }) => trainedCount(tokens) > 0);
    print(`\n${at}, ${label === undefined ? isTrained ? marked : found.shape : `labelled ${label}`}:`);
    for (const { name, tokens } of texts) {
      const text = trainedText(tokens, (ids) => tokenizer.decode(ids), marking);
      print(name === undefined ? text : `${name}: ${text}`);
    }
  }
}

/** Shares of the rows whose length is told. */
const SHARES = { least: 0, p10: 0.1, p50: 0.5, p90: 0.9, p99: 0.99, most: 1 } as const;

function percentilesOf(values: readonly number[]): Readonly<Record<string, number>> {
  const sorted = values.toSorted((a, b) => a - b);
  return Object.fromEntries(
    Object.entries(SHARES).map((
      [name, share],
    ) => [name, sorted.length === 0 ? 0 : percentile(sorted, share)]),
  );
}

function report(path: string, found: Examined, maxLength: number): string {
  const { shape, rows, lengths, tokens, trained, sizes, tooLong, duplicates, empty, refused } = found;
  const share = tokens === 0 ? 0 : 100 * trained / tokens;
  const numbers = (name: string, values: readonly number[]): readonly string[] => [
    name,
    ...Object.values(percentilesOf(values)).map(showCount),
  ];
  return [
    `${path}: ${showUnits(rows, "row")} to train, of shape ${shape} (${SHAPE_FIELDS[shape].join(", ")})`,
    `${showCount(tokens)} tokens, ${share.toFixed(1)} % of them trained`,
    ...rows === 0 ? [] : [
      "",
      table([
        ["tokens in a row", "least", "10 %", "50 %", "90 %", "99 %", "most"],
        ...[...sizes].map(([name, values]) => numbers(name, values)),
      ]),
      "",
      histogram(lengths),
      "",
    ],
    ...found.classes.size > 0 ? [classesText(shape, found.classes)] : [],
    fault(["is", "are"], `longer than the ${showCount(maxLength)} tokens of a row`, tooLong),
    fault(["repeats", "repeat"], "an earlier row", duplicates.map(({ at, of }) => `${at} is ${of}`)),
    fault(["has", "have"], "an empty field", empty),
    ...shape === "preference" ? [fault(["has", "have"], "the same answer twice", found.equal)] : [],
    fault(["cannot", "cannot"], "be trained", refused),
  ].join("\n");
}

/** "2 classes: good 30, bad 12"; of many only how many there are. */
function classesText(shape: Examined["shape"], classes: ReadonlyMap<string, number>): string {
  const all = [...classes].sort(([, a], [, b]) => b - a);
  if (all.length === 1 && shape === "score") {
    return `Every row has the number ${all[0]![0]}: nothing tells texts apart`;
  }
  if (all.length === 1) return `1 class, "${all[0]![0]}": a classifier needs two`;
  const shown = all.slice(0, 8).map(([name, count]) => `${name} ${showCount(count)}`).join(", ");
  return `${showCount(all.length)} labels: ${shown}${all.length > 8 ? ", …" : ""}`;
}

/** "3 rows repeat …: a, b and 1 more". */
function fault([one, several]: readonly [string, string], what: string, which: readonly string[]): string {
  if (which.length === 0) return `0 rows ${several} ${what}`;
  const more = which.length > 3 ? `\n  and ${which.length - 3} more` : "";
  return `${showUnits(which.length, "row")} ${which.length === 1 ? one : several} ${what}:\n${
    which.slice(0, 3).map((place) => `  ${place}`).join("\n")
  }${more}`;
}
