/** `graft compare`: methods side by side on one model and one data set. */
import { readFile, rm } from "node:fs/promises";
import { type Command, helpAll, integer, onePath, Option, option, rare } from "./terminal/arguments.ts";
import { type DeskName, DESKS } from "../embedded/conversations/desks/mod.ts";
import { THINGS, writeConversations } from "./compare/data.ts";
import { comparison } from "./compare/report.ts";
import { samplesText } from "./compare/samples.ts";
import { terminalWidth } from "./terminal/text.ts";
import { measureMethod, type MethodResult, type MethodSettings } from "./compare/method.ts";
import { listed, optionsByMethod, rates } from "./compare/readers.ts";
import { inFreshProcess } from "./compare/own_process.ts";
import { compareShared, pointName, tellKept } from "./compare/shared.ts";
import { type DataFlags, dataFlags, fileHash } from "./data.ts";
import { checkObjective } from "./finetune/objective.ts";
import {
  isEmbedding,
  isPreference,
  type ObjectiveFlags,
  objectiveFlags,
  objectiveOf,
} from "./finetune/objective_flags.ts";
import { type BackendName, localSource, type ModelFlags, modelFlags, withBackend } from "./load.ts";
import { modelSource } from "./model_source.ts";
import { agreed } from "./sharing/agreement.ts";
import { type ShardFlag, shardOf, shardOption } from "./sharing/shard.ts";
import { environmentVariable } from "../platform/environment.ts";
import type { MethodDefinition } from "../core/mod.ts";
import type { JsonOptions } from "../core/options/mod.ts";
import { knownMethods } from "../io/records/known_methods.ts";
import { chooseMethod, type ChosenMethod, commandLineOf } from "../tuning/chosen_method.ts";
import { shortRateOf } from "../tuning/short_rate.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { note, print, printJson } from "./terminal/output.ts";
import { temporaryFolder } from "../platform/temporary.ts";

interface CompareFlags extends ModelFlags, Omit<DataFlags, "data">, ObjectiveFlags {
  readonly data?: string;
  readonly methods?: readonly string[];
  readonly options?: Readonly<Record<string, JsonOptions>>;
  readonly rates?: Readonly<Record<string, number>>;
  readonly steps: number;
  readonly batchSize: number;
  readonly rank: number | undefined;
  readonly rouge: number;
  readonly maxNewTokens: number;
  readonly samples: number;
  readonly desk: DeskName | "all";
  readonly examples: number;
  readonly seed: number;
  readonly json?: true;
  readonly wide?: true;
  readonly output?: string;
  readonly shard?: ShardFlag;
  readonly table?: true;
  /** The settings file of a method's process. */
  readonly one?: string;
}

/** Registers the command. */
export function compare(program: Command): void {
  const command = program.command("compare")
    .description(
      "Train methods for the same steps, each in a fresh process, and compare them",
    )
    .option(
      "-d, --data <file>",
      "examples, JSON Lines; default generated talk of a parcel service with summaries",
      onePath,
    );
  objectiveFlags(
    dataFlags(
      modelFlags(command, "embedded"),
      "examples to keep aside, or their share; default 64, or a fifth of --data",
    ),
  )
    .option(
      "--methods <names...>",
      `these, by name, or ./mine.ts; default ${comparedNames().join(", ")}`,
      listed,
    )
    .option("--steps <n>", "optimizer steps of each method", integer(), 160)
    .option("--batch-size <n>", "rows per step", integer(), 8)
    .option("--rank <n>", "of low-rank methods; default depends on the method", integer())
    .addOption(
      rare(
        option(
          "--rates <list>",
          "peak learning rates, as in lora=1e-3,ia3=0.1; default depends on the method",
          rates,
        ),
      ),
    )
    .addOption(
      rare(option("--options <json>", 'options by method: {"xlora": {"experts": {…}}}', optionsByMethod)),
    )
    .option("--rouge <n>", "answers to write and score, before and after", integer(0), 32)
    .option("--max-new-tokens <n>", "in those answers", integer(), 96)
    .option("--samples <n>", "answers to print of each method", integer(0), 3)
    .addOption(
      rare(
        new Option("--desk <name>", "the kind of company whose conversations are generated")
          .choices([...Object.keys(DESKS), "all"]).default("delivery"),
      ),
    )
    .addOption(
      rare(option("--examples <n>", "conversations to generate", integer(2), 864)),
    )
    .option("--seed <n>", "of everything random", integer(0), 0)
    .option("-o, --output <folder>", "keep the results there, and go on with those that are", onePath)
    .addOption(shardOption())
    .option("--table", "print what is in --output, and stop")
    .option("--wide", "print all columns")
    .option("--json", "print JSON")
    .addOption(
      rare(new Option("--one <file>", "of a method's own process, which the command starts itself")),
    );
  helpAll(command)
    .addHelpText(
      "after",
      "\nExamples:\n  graft compare\n  graft compare -m model.gguf --data train.jsonl --steps 50",
    )
    .action(async (flags: CompareFlags) => {
      if (flags.one === undefined) await run(flags);
      else printJson(await measureMethod(JSON.parse(await readFile(flags.one, "utf8"))));
    });
}

async function run(given: CompareFlags): Promise<void> {
  const started = performance.now();
  const { output } = given;
  if (output === undefined && (given.table === true || typeof given.shard === "object")) {
    throw new UsageError("Expected --output: the folder that keeps the results");
  }
  checkObjective(given);
  if (given.data === undefined && (isPreference(given) || isEmbedding(given))) {
    throw new UsageError(
      `Expected --data with --objective ${given.objective}: generated talk has summaries alone`,
    );
  }
  const before = output === undefined ? undefined : await agreed(output);
  const flags = await withBackend({
    ...given,
    ...before?.backend && given.backend === "auto" && { backend: before.backend as BackendName },
  });
  const model = await localSource(await modelSource({ model: "embedded", ...flags }));
  const folder = temporaryFolder("graft-compare-");
  try {
    const data = flags.data ?? `${folder}/conversations.jsonl`;
    if (flags.data === undefined) {
      const { examples, seed, desk } = flags;
      await writeConversations(data, examples, seed, desk === "all" ? undefined : desk);
    }
    const chosen = await chosenMethods(flags);
    const measure = (i: number): Promise<MethodResult> => {
      const { named, definition } = chosen[i]!;
      note(`${titleOf(definition)}:`);
      const settings = settingsOf(flags, named, definition, model, data);
      return inFreshProcess(settings, titleOf(definition), `${folder}/${i}.json`);
    };
    if (output !== undefined) {
      return await runKept(output, flags, model, chosen, await fileHash(data), measure);
    }
    const results: MethodResult[] = [];
    for (const i of chosen.keys()) results.push(await measure(i));
    tell(results, flags, model, (performance.now() - started) / 1000);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A comparison that keeps its results in a folder: all of it, or this process's share. */
async function runKept(
  output: string,
  flags: CompareFlags,
  model: string,
  chosen: readonly Named[],
  hash: string,
  measure: (method: number) => Promise<MethodResult>,
): Promise<void> {
  const { methods: _, rates, options, json: __, wide: ___, samples: ____, threads: _____, ...own } = flags;
  const { output: ______, shard, table, ...settings } = own;
  const comparison = {
    folder: output.replace(/[/\\]+$/, "") || output,
    agreement: {
      options: JSON.parse(JSON.stringify({ ...settings, data: hash })),
      plan: { methods: chosen.map(({ named }) => named), ...rates && { rates }, ...options && { options } },
      points: chosen.map(({ named }, i) => pointName(i, named)),
      backend: flags.backend,
    },
    titles: chosen.map(({ definition }) => titleOf(definition)),
    tell: (results: readonly MethodResult[]) =>
      tell(results, flags, model, results.reduce((sum, { seconds }) => sum + seconds, 0)),
  };
  if (table === true) return await tellKept(comparison);
  await compareShared(comparison, shardOf(shard, environmentVariable), measure);
}

function tell(results: readonly MethodResult[], flags: CompareFlags, model: string, seconds: number): void {
  if (flags.json) return printJson({ model, seconds, methods: results });
  const layout = { count: flags.samples, width: terminalWidth(), terms: termsOf(flags) };
  const report = [comparison(results, { ...flags, seconds }), ...samplesText(results, layout)];
  print([...report, ...(flags.data === undefined ? NEXT : [])].join("\n"));
}

/** Of own data it is not known what things it is about. */
const termsOf = ({ data }: CompareFlags): readonly string[] => data === undefined ? THINGS : [];

/** What to do after the demo. */
const NEXT: readonly string[] = [
  "",
  "What next? Your own data: graft compare -m MODEL -d train.jsonl",
  "An adapter to keep:       graft finetune -m MODEL -d train.jsonl -o adapter",
  "Every other method:       graft methods",
];

/** A method with the name that it was given. */
type Named = ChosenMethod & { readonly named: string };

/** Names of the methods that are compared when none are named, in their order. */
const comparedNames = (): readonly string[] =>
  knownMethods().all.flatMap(({ name, cli }) =>
    cli?.compared === undefined ? [] : [{ name, at: cli.compared }]
  )
    .sort((a, b) => a.at - b.at).map(({ name }) => name);

/** The methods to compare: those named, or those that the definitions say. */
async function chosenMethods({ methods, rates = {}, options = {} }: CompareFlags): Promise<readonly Named[]> {
  const names = methods ?? comparedNames();
  const chosen = await Promise.all(names.map(async (named) => ({ ...await chooseMethod(named), named })));
  const idle = Object.keys({ ...rates, ...options }).find((name) => !chosen.some((one) => isOf(one, name)));
  if (idle !== undefined) {
    throw new UsageError(
      `Cannot use a rate or options of "${idle}", which is not among the methods compared`,
    );
  }
  return chosen;
}

/** Whether a name means a method. */
const isOf = ({ definition, known }: Pick<ChosenMethod, "definition" | "known">, name: string): boolean =>
  known.find(name) === definition;

/** What was given for a method, under any of its names. */
function ofMethod<T>(
  given: Readonly<Record<string, T>> | undefined,
  definition: MethodDefinition,
): T | undefined {
  return Object.entries(given ?? {}).find(([name]) =>
    isOf({ definition, known: knownMethods(definition.cli === undefined ? [definition] : []) }, name)
  )?.[1];
}

const titleOf = ({ title, name }: MethodDefinition): string => title ?? name;

function settingsOf(
  flags: CompareFlags,
  method: string,
  definition: MethodDefinition,
  model: string,
  data: string,
): MethodSettings {
  const { backend, threads, instruction, answers, maxLength, longPrompts, splitSeed, limit } = flags;
  const { steps, batchSize, rank, rouge, maxNewTokens, seed } = flags;
  const options = ofMethod(flags.options, definition);
  return {
    ...{ model, method, data, backend, answers, longPrompts, splitSeed, steps, batchSize, rank, seed },
    ...{
      rouge,
      maxNewTokens,
      learningRate: ofMethod(flags.rates, definition) ??
        (flags.model === undefined ? shortRateOf(definition) : commandLineOf(definition).rate),
    },
    terms: termsOf(flags),
    ...objectiveOf(flags),
    heldOut: flags.heldOut ?? (flags.data === undefined ? 64 : 0.2),
    ...options !== undefined && { options },
    ...threads !== undefined && { threads },
    ...instruction !== undefined && { instruction },
    ...maxLength !== undefined && { maxLength },
    ...limit !== undefined && { limit },
  };
}
