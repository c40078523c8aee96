/** `graft compare`: full fine-tuning, LoRA, QLoRA and (IA)³ side by side on one model and one data set. */
import {
  choice,
  type Command,
  helpAll,
  integer,
  number,
  onePath,
  Option,
  option,
  rare,
} from "./terminal/arguments.ts";
import { writeConversations } from "./compare/data.ts";
import { measureMethod, type MethodResult, type MethodSettings } from "./compare/method.ts";
import { type DataFlags, dataFlags } from "./data.ts";
import { localSource, type ModelFlags, modelFlags, modelSource } from "./load.ts";
import { defaultRate, type MethodName } from "../tuning/method_catalog.ts";
import { note, print, printJson, showBytes, showCount, showSeconds, table } from "./terminal/output.ts";

const COMPARED = ["full", "lora", "qlora", "ia3"] as const satisfies readonly MethodName[];

const TITLES: Readonly<Record<typeof COMPARED[number], string>> = {
  full: "full fine-tuning",
  lora: "LoRA",
  qlora: "QLoRA",
  ia3: "(IA)³",
};

/** Peak learning rates for a short run of the small embedded model; larger ones take `defaultRate`. */
const EMBEDDED_RATES: Readonly<Record<typeof COMPARED[number], number>> = {
  full: 2.5e-3,
  lora: 1.2e-2,
  qlora: 1.2e-2,
  ia3: 0.1,
};

interface CompareFlags extends ModelFlags, Omit<DataFlags, "data"> {
  readonly data?: string;
  readonly methods?: readonly (typeof COMPARED[number])[];
  readonly steps: number;
  readonly batchSize: number;
  readonly rank: number;
  readonly fullRate?: number;
  readonly loraRate?: number;
  readonly ia3Rate?: number;
  readonly rouge: number;
  readonly maxNewTokens: number;
  readonly samples: number;
  readonly examples: number;
  readonly seed: number;
  readonly json?: true;
  /** The settings file of a method's process. */
  readonly one?: string;
}

/** Registers the command. */
export function compare(program: Command): void {
  const command = program.command("compare")
    .description(
      "Train full fine-tuning, LoRA, QLoRA and (IA)³ for the same steps, each in a fresh process, and compare them",
    )
    .option(
      "-d, --data <file>",
      "examples, JSON Lines; default generated conversations with summaries",
      onePath,
    );
  dataFlags(modelFlags(command), "examples to keep aside, or their share; default 64, or a fifth of --data")
    .addOption(choice("--methods <names...>", "only these", COMPARED))
    .option("--steps <n>", "optimizer steps of each method", integer(), 80)
    .option("--batch-size <n>", "rows in a step", integer(), 8)
    .option("--rank <n>", "of LoRA and QLoRA, on all linear layers", integer(), 8)
    .addOption(
      rare(option("--full-rate <x>", "peak learning rate of full fine-tuning", number({ above: 0 }))),
    )
    .addOption(rare(option("--lora-rate <x>", "of LoRA and QLoRA", number({ above: 0 }))))
    .addOption(rare(option("--ia3-rate <x>", "of (IA)³", number({ above: 0 }))))
    .option("--rouge <n>", "answers to write and score, before and after", integer(0), 32)
    .option("--max-new-tokens <n>", "in those answers", integer(), 96)
    .option("--samples <n>", "answers to print of each method", integer(0), 3)
    .addOption(
      rare(option("--examples <n>", "conversations to generate", integer(2), 864)),
    )
    .option("--seed <n>", "of everything random", integer(0), 0)
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
      else printJson(await measureMethod(JSON.parse(await Deno.readTextFile(flags.one))));
    });
}

async function run(flags: CompareFlags): Promise<void> {
  const started = performance.now();
  const model = await localSource(modelSource(flags));
  const folder = await Deno.makeTempDir({ prefix: "graft-compare-" });
  try {
    const data = flags.data ?? `${folder}/conversations.jsonl`;
    if (flags.data === undefined) await writeConversations(data, flags.examples, flags.seed);
    const results: MethodResult[] = [];
    for (const method of flags.methods ?? COMPARED) {
      note(`${TITLES[method]}:`);
      results.push(await inFreshProcess(settingsOf(flags, method, model, data), folder));
    }
    const seconds = (performance.now() - started) / 1000;
    if (flags.json) printJson({ model, seconds, methods: results });
    else print(report(results, flags, seconds));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function settingsOf(
  flags: CompareFlags,
  method: typeof COMPARED[number],
  model: string,
  data: string,
): MethodSettings {
  const rates = { full: flags.fullRate, lora: flags.loraRate, qlora: flags.loraRate, ia3: flags.ia3Rate };
  const { backend, threads, instruction, answers, maxLength, longPrompts, splitSeed, limit } = flags;
  const { steps, batchSize, rank, rouge, maxNewTokens, seed } = flags;
  return {
    ...{ model, method, data, backend, answers, longPrompts, splitSeed, steps, batchSize, rank, seed },
    ...{
      rouge,
      maxNewTokens,
      learningRate: rates[method] ??
        (flags.model === undefined ? EMBEDDED_RATES[method] : defaultRate(method)),
    },
    heldOut: flags.heldOut ?? (flags.data === undefined ? 64 : 0.2),
    ...threads !== undefined && { threads },
    ...instruction !== undefined && { instruction },
    ...maxLength !== undefined && { maxLength },
    ...limit !== undefined && { limit },
  };
}

/** Runs this command again for one method. Its progress is passed through, its result is returned as JSON. */
async function inFreshProcess(settings: MethodSettings, folder: string): Promise<MethodResult> {
  const told = `${folder}/${settings.method}.json`;
  await Deno.writeTextFile(told, JSON.stringify(settings));
  const main = new URL("./main.ts", import.meta.url).href;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, "compare", "--one", told],
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`${TITLES[settings.method as typeof COMPARED[number]]} failed, see above`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

function report(results: readonly MethodResult[], flags: CompareFlags, seconds: number): string {
  const titleOf = ({ method }: MethodResult): string => TITLES[method as typeof COMPARED[number]];
  const both = (of: (m: MethodResult["before"]) => string) => (r: MethodResult): string =>
    `${of(r.before)} → ${of(r.after)}`;
  const loss = both((m) => m.loss.toFixed(3));
  const rougeL = both((m) => m.rougeL?.toFixed(3) ?? "–");
  const rows = results.map((r) => [
    titleOf(r),
    showCount(r.trainable),
    `${(100 * r.trainable / r.base).toPrecision(3)} %`,
    showBytes(r.weights),
    showBytes(r.peak),
    r.tokensPerSecond.toFixed(0),
    loss(r),
    rougeL(r),
    showBytes(r.file),
    showSeconds(r.seconds),
  ]);
  const heading = [
    "method",
    "trainable",
    "share",
    "weights",
    "peak",
    "tokens/s",
    "held-out loss",
    "ROUGE-L",
    "file",
    "time",
  ];
  return [
    table([heading, ...rows]),
    "",
    `${flags.steps} steps of ${flags.batchSize} rows each, seed ${flags.seed}; ${
      showSeconds(seconds)
    } in all. Weights: of the ` +
    "frozen model. Peak: live bytes while training, in a process of its own. File: the adapter, or the whole model.",
    ...samplesText(results, titleOf, flags.samples),
  ].join("\n");
}

function samplesText(
  results: readonly MethodResult[],
  titleOf: (result: MethodResult) => string,
  count: number,
): readonly string[] {
  const first = results[0]!;
  const width = Math.max(...results.map((r) => titleOf(r).length), "untrained".length);
  const line = (who: string, text: string): string =>
    `${who.padEnd(width)}  ${short(text.replace(/\s+/g, " "))}`;
  return first.after.samples.slice(0, count).flatMap(({ reference }, i) => [
    "",
    line("wanted", reference),
    line("untrained", first.before.samples[i]!.written),
    ...results.map((r) => line(titleOf(r), r.after.samples[i]!.written)),
  ]);
}

/** An untrained model may repeat a word to the end. */
const short = (text: string): string => text.length <= 400 ? text : `${text.slice(0, 400)}…`;
