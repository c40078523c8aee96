/**
 * `graft evaluate`: loss, perplexity and ROUGE of a model on a file, along with baselines that need no
 * training.
 */
import {
  type ChatMessage,
  contextOf,
  encodeExample,
  type Example,
  type Faithfulness,
  faithfulness,
  heldOutLoss,
  leadUtterances,
  meanRouge,
  pickRows,
  rouge,
  type RougeScores,
  type Rows,
  rowsFrom,
  samplesOf,
  scoresOf,
} from "../train/mod.ts";
import type { Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { contextLength } from "../models/mod.ts";
import { type Command, helpAll, integer, onePath, rare } from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { type Data, type DataFlags, dataFlags, openData, rowLength } from "./data.ts";
import { localData } from "./data_source.ts";
import { labelledEvaluation, padOf, showEvaluation } from "./finetune/evaluation.ts";
import {
  dtypeFlag,
  type DtypeFlags,
  dtypeOf,
  methodFileOption,
  type ModelFlags,
  modelFlags,
  openModel,
  outsideOption,
} from "./load.ts";
import { ADAPTERS_BASE } from "./model_source.ts";
import { print, printJson, showUnits, table } from "./terminal/output.ts";
import { counter } from "./terminal/counter.ts";

const EXAMPLE = `
Example:
  graft evaluate -m model.gguf --adapter adapter --data test.jsonl --rouge 100
  graft evaluate -m model.gguf --data all.jsonl --held-out 100 --few-shot 2`;

interface EvaluateFlags extends ModelFlags, DtypeFlags, Omit<DataFlags, "data"> {
  readonly data?: string;
  readonly adapter?: string;
  readonly batchSize: number;
  readonly rouge: number;
  readonly maxNewTokens: number;
  readonly fewShot?: number;
  readonly samples: number;
  readonly faithful?: true;
  readonly json?: true;
}

/** Registers the command. */
export function evaluate(program: Command): void {
  const command = program.command("evaluate")
    .description(
      "Measure a model, tuned or not: loss, perplexity, ROUGE and what baselines reach, or accuracy and F1",
    )
    .option("-d, --data <path|id>", "examples: a file, a folder or a hub id", onePath);
  dtypeFlag(modelFlags(command, ADAPTERS_BASE)).option(
    "-a, --adapter <folder>",
    "adapter folder to graft onto the model",
    onePath,
  ).addOption(rare(outsideOption())).addOption(rare(methodFileOption()));
  dataFlags(command, "measure only what finetune holds out; default all")
    .option("--batch-size <n>", "rows per pass", integer(), 4)
    .option("--rouge <n>", "write n answers and score them; 0 for none", integer(0), 32)
    .option("--max-new-tokens <n>", "in those answers", integer(), 128)
    .option("--faithful", "how many of those answers' names, numbers and dates are true, and were wanted")
    .option("--few-shot <n>", "show n solved examples in front of each", integer(0))
    .option("--samples <n>", "print n answers beside the wanted ones", integer(0), 0)
    .option("--json", "print the result as JSON");
  helpAll(command).addHelpText("after", EXAMPLE).action(async () => {
    const flags = await localData(command.opts<EvaluateFlags>());
    if (flags.data === undefined) {
      throw new UsageError("Expected --data: a file or folder of examples, or a data set of the hub");
    }
    await run({ ...flags, data: flags.data });
  });
}

/** Means of F1. */
interface Scores {
  readonly rouge1: number;
  readonly rouge2: number;
  readonly rougeL: number;
}

async function run(flags: EvaluateFlags & { readonly data: string }): Promise<void> {
  const opened = await openModel(flags, dtypeOf(flags));
  try {
    const { model } = opened;
    const maxLength = rowLength(flags, model);
    using data = await openData(flags, model, model.tokenizer, maxLength);
    const rows = (flags.heldOut ?? 0) > 0 ? data.heldOut : data.train;
    if (data.texts === undefined) return await reportLabelled(flags, model, rows);
    const { texts } = data;
    const example = (flags.heldOut ?? 0) > 0 ? texts.heldOut : texts.train;
    const examples = Array.from({ length: rows.count }, (_, n) => example(n));
    const shown = shotsOf(flags, data, rows.count === data.heldOut.count);
    const prompted = shown.length === 0
      ? rows
      : withShots(examples, shown, model, Math.min(contextLength(model), 4096));
    const batchSize = shown.length === 0 ? flags.batchSize : 1;
    const measuring = batchCounter("Measuring the loss of", rows.count, batchSize);
    const { loss, perplexity, tokens } = await heldOutLoss(model, prompted, {
      batchSize,
      pad: padOf(model.tokenizer),
      between: measuring.next,
    });
    measuring.stop();
    const n = Math.min(flags.rouge, rows.count);
    const first = Array.from({ length: n }, (_, i) => i);
    const references = examples.slice(0, n).map((example) => example.answer);
    const writing = batchCounter("Writing answers to", n, 8);
    const samples = n === 0 ? [] : await samplesOf(model, pickRows(prompted, first), references, {
      maxNewTokens: flags.maxNewTokens,
      batchSize: 8,
      between: writing.next,
    });
    writing.stop();
    const scores = n === 0 ? undefined : f1(scoresOf(samples));
    const faithful = flags.faithful && n > 0
      ? faithfulness(samples.map(({ reference, written }, i) => ({
        conversation: contextOf(examples[i]!),
        wanted: reference,
        written,
      })))
      : undefined;
    const baselines = leadScores(examples.slice(0, n));
    const result = {
      examples: rows.count,
      tokens,
      loss,
      perplexity,
      ...scores !== undefined && { scored: n, ...scores },
      ...faithful && { faithful },
      ...baselines.length > 0 && { baselines: Object.fromEntries(baselines) },
    };
    if (flags.json === true) {
      printJson({ ...result, ...flags.samples > 0 && { samples: samples.slice(0, flags.samples) } });
      return;
    }
    print(
      `${showUnits(rows.count, "example")}, ${showUnits(tokens, "token")}: loss ${
        loss.toFixed(4)
      }, perplexity ${perplexity.toFixed(2)}`,
    );
    if (scores !== undefined) {
      const row = (
        name: string,
        s: Scores,
      ) => [name, ...[s.rouge1, s.rouge2, s.rougeL].map((x) => x.toFixed(4))];
      const name = shown.length === 0 ? "model" : `model, ${shown.length} shots`;
      print(table([
        [`F1 on ${n}`, "ROUGE-1", "ROUGE-2", "ROUGE-L"],
        row(name, scores),
        ...baselines.map(([name, s]) => row(name, s)),
      ]));
    }
    if (faithful !== undefined) print(faithfulText(faithful));
    for (const { reference, written } of samples.slice(0, flags.samples)) {
      print(`\nwanted   ${reference}\nwritten  ${written}`);
    }
  } finally {
    opened.close();
  }
}

/** Counts rows by whole batches. */
function batchCounter(what: string, rows: number, batchSize: number): { next(): void; stop(): void } {
  const shown = counter(what, rows, "rows");
  let done = 0;
  return { next: () => shown.at(Math.min(rows, done += batchSize)), stop: shown.stop };
}

/** "Names, numbers and dates: 0.9123 of those written are true, 0.6012 of those wanted were written" */
function faithfulText({ precision, recall }: Faithfulness): string {
  const share = (value: number | undefined): string => value?.toFixed(4) ?? "none";
  return `Names, numbers and dates: ${share(precision)} of those written are true, ${
    share(recall)
  } of those wanted were written`;
}

/** The report for a classifier, tagger or scorer. */
async function reportLabelled(flags: EvaluateFlags, model: Model<Tokenizer>, rows: Rows): Promise<void> {
  if ((flags.fewShot ?? 0) > 0) {
    throw new UsageError("Cannot use --few-shot with labelled texts: a classifier reads one at a time");
  }
  const found = await labelledEvaluation(model, rows, { batchSize: flags.batchSize });
  if (flags.json === true) printJson({ examples: rows.count, ...found });
  else print(`${showUnits(rows.count, "example")}: ${showEvaluation(found)}`);
}

/** Solved examples that are not part of the evaluation. @throws {UsageError} when there are none. */
function shotsOf({ fewShot = 0 }: EvaluateFlags, data: Data, held: boolean): readonly Example[] {
  if (fewShot === 0) return [];
  if (!held || data.texts === undefined || data.train.count < fewShot) {
    throw new UsageError("Expected --held-out with --few-shot, leaving examples to show");
  }
  const { train } = data.texts;
  return Array.from({ length: fewShot }, (_, n) => train(n));
}

/** Rows whose prompts begin with solved examples; they may be as long as the model's context. */
function withShots(
  examples: readonly Example[],
  shots: readonly Example[],
  model: Model<Tokenizer>,
  maxLength: number,
): Rows {
  return rowsFrom(
    examples.map((example) =>
      encodeExample({ ...example, prompt: promptAfter(shots, example) }, model.tokenizer, {
        maxLength,
        longPrompt: { keep: "tail" },
      })
    ),
  );
}

function promptAfter(shots: readonly Example[], { prompt }: Example): Example["prompt"] {
  if (typeof prompt === "string") {
    return [...shots.map((shot) => `${shot.prompt}${shot.answer}`), prompt].join("\n\n");
  }
  return [
    ...shots.flatMap((
      shot,
    ) => [...shot.prompt as readonly ChatMessage[], { role: "assistant", content: shot.answer }]),
    ...prompt,
  ];
}

/** Scores of the first utterances of each dialogue; empty for data without dialogues. */
function leadScores(examples: readonly Example[]): readonly (readonly [string, Scores])[] {
  const dialogues = examples.filter((example) => example.body !== undefined);
  if (dialogues.length === 0 || dialogues.length < examples.length) return [];
  return [1, 2, 3].map((n) => [
    n === 1 ? "first utterance" : `first ${n} utterances`,
    f1(meanRouge(dialogues.map(({ body, answer }) => rouge(answer, leadUtterances(body!, n))))),
  ]);
}

const f1 = ({ rouge1, rouge2, rougeL }: RougeScores): Scores => ({
  rouge1: rouge1.f1,
  rouge2: rouge2.f1,
  rougeL: rougeL.f1,
});
