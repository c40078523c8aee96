/**
 * `graft methods`: what each method costs on a model, computed from the model's shapes, compared with a
 * survey's table.
 */
import {
  compose,
  type Method,
  type MethodCostOptions,
  type MethodCosts,
  methodCosts,
  type Model,
  type ModelConfig,
  type SurveyAnswer,
  type SurveyRow,
} from "../core/mod.ts";
import { readJson } from "../io/inspect_contents.ts";
import { checkpointShapes, configShapes } from "../io/model_shapes.ts";
import { type Command, integer, names, onePath } from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { agrees, ARTICLE } from "../tuning/survey_tables.ts";
import { localShapes } from "./load.ts";
import { modelOption, modelSource } from "./model_source.ts";
import { type KnownMethods, knownMethods } from "../io/records/known_methods.ts";
import { shownMethod } from "./methods/show.ts";
import { chooseMethod, chosenFrom, type ChosenMethod } from "../tuning/chosen_method.ts";
import { type PublishedMethod, publishedMethods, textLength } from "../tuning/published.ts";
import { different, factsText, percent, type TableRow } from "./methods/costs.ts";
import { listedMethods, listText } from "./methods/list.ts";
import { note, print, printJson, table } from "./terminal/output.ts";
import { terminalWidth, wrapped } from "./terminal/text.ts";

interface Flags {
  readonly model?: string;
  readonly config?: string;
  readonly only?: readonly string[];
  readonly tokens?: number;
  readonly article?: true;
  readonly method?: string;
  readonly show?: string;
  readonly json?: true;
  readonly wide?: true;
}

/** Registers the command. */
export function methods(program: Command): void {
  program.command("methods")
    .description(
      "List the methods, or what each costs on a model",
    )
    .option(...modelOption(), onePath)
    .option("--config <file>", "a config.json instead of a model; no weights are needed")
    .option("--only <names>", "methods, separated by commas", names)
    .option(
      "--tokens <n>",
      "length of the text that costs are counted on; default 64, or what a short context holds",
      integer(),
    )
    .option("--method <file>", "a method of your own, beside the others", onePath)
    .option("--show <name>", "one method's options, and its facts", onePath)
    .option("--article", "beside the survey article's tables 1 and 2; ≠ marks what differs")
    .option("--wide", "print all columns")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  graft methods\n  graft methods --show lora\n  graft methods --model HuggingFaceTB/SmolLM2-135M-Instruct",
    )
    .action(async (flags: Flags) => {
      if (flags.show !== undefined) return showMethod(await chooseMethod(flags.show), flags);
      if (flags.model === undefined && flags.config === undefined && flags.article === undefined) {
        return await printList(flags);
      }
      const model = await shapesOf(flags);
      const rows = tableRows(model, flags, await knownOf(flags));
      model.dispose();
      const shown = flags.article ? rows.filter(({ name }) => ARTICLE[name] !== undefined) : rows;
      if (flags.json) {
        return printJson(shown.map((row) => flags.article ? { ...row, article: ARTICLE[row.name] } : row));
      }
      print(flags.article ? articleText(shown, flags.wide === true) : factsText(shown, flags.wide === true));
      for (const row of shown) if ("refused" in row) note(`${row.name}: ${row.refused}`);
    });
}

/** Prints the methods, of which `--only` keeps some, with the sentence that each has. */
async function printList(flags: Flags): Promise<void> {
  const { only, method, json } = flags;
  const known = await knownOf(flags);
  const own = method === undefined ? [] : [(await chooseMethod(method)).definition];
  const wanted = only?.map((name) => chosenFrom(name, known).definition);
  const listed = listedMethods(own, (definition) => wanted?.includes(definition) ?? true);
  if (json) printJson(listed);
  else print(listText(listed, terminalWidth()));
}

/** Prints what is known of a method. */
function showMethod({ definition }: ChosenMethod, { json }: Flags): void {
  if (json === undefined) return print(shownMethod(definition, terminalWidth()));
  const { name, title, summary, aliases, options, cli } = definition;
  printJson({
    name,
    title,
    summary,
    aliases,
    options: { ...options, ...cli?.also },
    rate: cli?.rate,
    flags: cli?.flags,
  });
}

/** Graft's methods, and those of a file. */
async function knownOf({ method }: Flags): Promise<KnownMethods> {
  return method === undefined ? knownMethods() : (await chooseMethod(method)).known;
}

async function shapesOf(flags: Flags): Promise<Model> {
  if (flags.config === undefined) {
    return checkpointShapes(await localShapes(await modelSource({ model: "embedded", ...flags })));
  }
  if (flags.model !== undefined) throw new UsageError("Cannot use --config with --model: each names a model");
  return configShapes(readJson(flags.config) as ModelConfig);
}

/**
 * The costs of all or some methods, on a text with a number of tokens. @throws {UsageError} on an unknown
 * name.
 */
export function tableRows(
  model: Model,
  { only, tokens = textLength(model) }: Pick<Flags, "only" | "tokens">,
  known: KnownMethods = knownMethods(),
): readonly TableRow[] {
  const all = publishedMethods(known);
  const wanted = only === undefined ? all : only.map((name) => namedRow(all, name, known));
  return wanted.map((entry) => {
    const { name } = entry;
    const setting = entry.setting(model);
    try {
      const { beside, kept } = entry;
      const options: MethodCostOptions = { tokens, ...kept && { kept } };
      const facts = methodCosts(model, entry.make, options);
      if (beside === undefined) return { name, setting, facts };
      // What is trained along with the method is included in all counts, but does not affect its kind.
      const both = methodCosts(model, (m) => compose({ own: entry.make(m), beside }) as Method, options);
      return { name, setting, facts: { ...both, kinds: facts.kinds } };
    } catch (error) {
      if (error instanceof RangeError || error instanceof TypeError) {
        return { name, setting, refused: error.message };
      }
      throw error;
    }
  });
}

/** The row that a name means. @throws {UsageError} when there is none. */
function namedRow(all: readonly PublishedMethod[], name: string, known: KnownMethods): PublishedMethod {
  const { definition } = chosenFrom(name, known);
  const found = all.find((row) => row.definition === definition);
  if (found !== undefined) return found;
  throw new UsageError(`Cannot compare "${definition.name}": its literature has no setting to compare it by`);
}

function articleText(rows: readonly TableRow[], wide: boolean): string {
  const heading = [
    ...["method", "type", "storage", "memory", "backprop"],
    ...wide ? ["overhead", "% trainable", "% changed"] : [],
  ];
  let differing = 0;
  const differs = new Set<string>();
  const beside = (name: string, ours: string, theirs: string | undefined, same: boolean): string => {
    if (theirs === undefined) return ours;
    if (!same) {
      differing++;
      differs.add(name);
    }
    return same ? ours : `${ours} ≠ ${theirs}`;
  };
  const body = rows.map((row) => {
    if ("refused" in row) return [row.name, "not on this model"];
    const { facts } = row;
    const theirs = ARTICLE[row.name]!;
    const ours = answers(facts);
    const trainable = 100 * facts.trained.trainable / facts.trained.base;
    const changed = 100 * different(facts) / facts.trained.base;
    const cell = (ours: string, theirs: string | undefined, same: boolean): string =>
      beside(row.name, ours, theirs, same);
    const cells = [
      row.name,
      cell(facts.kinds.join(""), theirs.kinds, facts.kinds.join("") === theirs.kinds),
      cell(ours.storage, theirs.storage, ours.storage === theirs.storage),
      cell(ours.memory, theirs.memory, ours.memory === theirs.memory),
      cell(ours.backward, theirs.backward, ours.backward === theirs.backward),
      cell(ours.overhead, theirs.overhead, ours.overhead === theirs.overhead),
      cell(
        percent(trainable, 100),
        theirs.trainable,
        theirs.trainable === undefined || agrees(trainable, theirs.trainable),
      ),
      cell(
        percent(changed, 100),
        theirs.changed,
        theirs.changed === undefined || agrees(changed, theirs.changed),
      ),
    ];
    return wide ? cells : cells.slice(0, heading.length);
  });
  return [
    table([heading, ...body]),
    "",
    `Computed for this model, ≠ the article: ${differing} cells. Its percentages are of the models that its papers used.`,
    ...[...differs].flatMap((name) =>
      ARTICLE[name]!.differs === undefined ? [] : [`  ${name}: ${ARTICLE[name]!.differs}`]
    ),
    "storage: less than a quarter of the model's bytes. memory: AdamW's moments less than a quarter of full fine-tuning's.",
    `backprop: no gradient through the base's blocks.${wide ? "" : " --wide compares three more columns."}`,
  ].map((line, i) => i === 0 ? line : wrapped(line, wide ? 120 : Math.min(terminalWidth(), 100))).join("\n");
}

/** Our results in the article's terms. */
export function answers(
  facts: MethodCosts,
): { readonly [K in "storage" | "memory" | "backward"]: SurveyAnswer } & Pick<SurveyRow, "overhead"> {
  const { base } = facts.trained;
  const yes = (condition: boolean): SurveyAnswer => condition ? "yes" : "no";
  return {
    storage: yes(facts.storage < 4 * base / 4),
    memory: yes(facts.optimizer < 8 * base / 4),
    backward: yes(facts.backward.reached === 0),
    overhead: overheadText(facts),
  };
}

function overheadText({ overhead }: MethodCosts): string {
  const has = (what: MethodCosts["overhead"][number]): boolean => overhead.includes(what);
  if (overhead.length === 0) return "No overhead";
  if (has("side network")) return "Extra decoder";
  const parts = [
    ...has("bottleneck") ? ["FFN"] : [],
    ...has("linear") ? ["linear layer"] : [],
    ...has("input") ? ["input"] : [],
    ...has("second pass") ? ["second pass"] : [],
  ];
  return `Extra ${parts.join(" and ")}`;
}
