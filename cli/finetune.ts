/** `graft finetune`: trains an adapter on a model. */
import { isObject } from "../formats/strict_json.ts";
import type { JsonOptions } from "../core/options/option_json.ts";
import {
  bytes,
  choice,
  type Command,
  helpAll,
  integer,
  InvalidArgumentError,
  names,
  number,
  onePath,
  Option,
  option,
  rare,
} from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { dataFlags } from "./data.ts";
import { planRun } from "./finetune/plan.ts";
import { runFinetune } from "./finetune/run.ts";
import { type FinetuneFlags, OPTIMIZERS, SCHEDULES } from "./finetune/settings.ts";
import { dtypeFlag, modelFlags, precisionFlag } from "./load.ts";
import { type MethodName, METHODS } from "../tuning/method_catalog.ts";

/** Methods named in the short help; the long help and `graft methods` name all. */
const WELL_KNOWN: ReadonlySet<string> = new Set(
  ("lora rslora dora qlora lora-plus adalora pissa loftq eva loha lokr vera oft boft hra miss fourierft c3a randlora road delora " +
    "ia3 bitfit layer-norm houlsby pfeiffer parallel compacter prefix prompt p-tuning-v2 llama-adapter loreft ladder-side mam " +
    "unipelt diff-pruning lt-sft far fish-mask full").split(" "),
);

/** Its other initializations, in the long help. */
const LADDER_STARTS = `,
  or by magnitude alone: --options '{"importance": "magnitude"}',
  or from fresh layers: --options '{"initialization": "random"}'`;

const ending = (methods: readonly MethodName[]): string => {
  const others = METHODS.length - methods.length;
  const more = others === 0 ? "" : `\n  and ${others} more: --help-all or graft methods`;
  const starts = others === 0 ? LADDER_STARTS : "";
  return `
Example:
  graft finetune -m model.gguf -d train.jsonl -o adapter --method dora --rank 4
Data, a line each: dialogue and summary, prompt and completion, or messages;
for BERT text (and pair) with label or score, or tokens with tags
Methods:
${wrapped(methods.join(", "), 80)}${more}
ladder-side starts from the base, pruned by the Fisher information of examples${starts}`;
};

function wrapped(text: string, width: number): string {
  return text.replace(new RegExp(`(.{1,${width - 2}})(?: |$)`, "g"), "  $1\n").trimEnd();
}

/** @throws {InvalidArgumentError} on a name that is not a method's. */
function methodName(text: string): MethodName {
  const found = METHODS.find((name) => name === text);
  if (found === undefined) {
    throw new InvalidArgumentError(`There is no method "${text}": there are ${METHODS.join(", ")}`);
  }
  return found;
}

function optionsObject(text: string): JsonOptions {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value) && !Array.isArray(value)) return value as JsonOptions;
  } catch {
    // Reported below.
  }
  throw new InvalidArgumentError(`Expected a JSON object such as '{"rank": 4}' but found "${text}"`);
}

/** Registers the command. */
export function finetune(program: Command): void {
  const command = program.command("finetune")
    .description("Train a model on examples by any method; writes an adapter that PEFT reads")
    .option("-d, --data <file>", "examples, JSON Lines", onePath)
    .option("-o, --output <folder>", "new folder of the adapter; default runs/<method>", onePath);
  trainingOptions(command)
    .option("--resume", "continue the run in --output")
    .addOption(rare(new Option("--overwrite", "replace --output when the new run is done")))
    .option("--plan", "print the memory that the run takes, and stop")
    .addOption(rare(option("--config <file>", "plan for a model of which only config.json is here")))
    .addOption(
      rare(
        option(
          "--memory <size>",
          "with --plan: say whether it fits; on the gpu: most that a run may take",
          bytes,
        ),
      ),
    )
    .addOption(
      rare(new Option("--profile", "print the kernels of a step, their bytes and operations; gpu only")),
    )
    .option("--json", "print the result as JSON");
  const all = (): boolean => command.options.every(({ hidden }) => !hidden);
  helpAll(command).addHelpText("after", () => ending(METHODS.filter((name) => all() || WELL_KNOWN.has(name))))
    .action(async () => {
      const flags = command.opts<FinetuneFlags>();
      if (flags.plan === true) return await planRun(flags);
      if (flags.config !== undefined) {
        throw new UsageError("Expected --plan with --config: a config has no weights");
      }
      if (flags.memory !== undefined && flags.backend !== "gpu") {
        throw new UsageError("Expected --plan or --backend gpu with --memory: other backends have no budget");
      }
      if (flags.data === undefined) {
        throw new UsageError("Expected --data: a file of examples, one JSON object a line");
      }
      await runFinetune({ ...flags, data: flags.data, output: flags.output ?? `runs/${flags.method}` });
    });
}

/** Adds the options that determine a run, all except its data and output. */
export function trainingOptions(command: Command): Command {
  command.addOption(option("--method <name>", "what is trained, see below", methodName, "lora"));
  precisionFlag(dtypeFlag(modelFlags(command)))
    .option("--rank <r>", "of low-rank methods; default 8", integer())
    .addOption(
      rare(option("--alpha <a>", "scale of the update; default twice the rank", number({ above: 0 }))),
    )
    .addOption(rare(option("--dropout <p>", "in the adapter; default 0", number({ from: 0, below: 1 }))))
    .option("--targets <names>", 'layers between commas, or "all-linear"', names)
    .addOption(rare(option("--bottleneck <r>", "width inside an adapter; default by the method", integer())))
    .addOption(rare(option("--length <n>", "rows of a prompt or prefix; default by the method", integer())))
    .addOption(
      rare(option("--dimension <d>", "of intrinsic-said and fourierft; of s4 the budget", integer())),
    )
    .addOption(
      rare(
        option("--options <json>", "more of the method's options, as the library names them", optionsObject),
      ),
    )
    .option("--learning-rate <x>", "peak; default by the method", number({ above: 0 }))
    .addOption(rare(choice("--schedule <name>", "of the learning rate", SCHEDULES).default("cosine")))
    .addOption(rare(option("--warmup <n>", "steps, or their share below 1", number({ from: 0 }), 0.03)))
    .option("--batch-size <n>", "rows in a pass", integer(), 2)
    .addOption(rare(option("--accumulate <n>", "passes in a step", integer(), 4)))
    .option("--epochs <n>", "times through the data", integer(), 3)
    .option("--max-steps <n>", "stop after so many steps", integer())
    .addOption(rare(option("--packing", "several examples in a row instead of padding")))
    .addOption(rare(choice("--optimizer <name>", "default adamw; paged for full and qlora", OPTIMIZERS)))
    .addOption(rare(option("--weight-decay <x>", "of the optimizer", number({ from: 0 }), 0)))
    .addOption(rare(option("--paged-budget <size>", "host memory of paged state; the rest to a file", bytes)))
    .addOption(rare(option("--clip <norm>", "largest norm of the gradient", number({ above: 0 }), 1)))
    .addOption(
      rare(option("--label-smoothing <s>", "share given to all tokens", number({ from: 0, below: 1 }), 0)),
    )
    .option("--checkpoint-blocks", "recompute blocks: less memory, more time");
  dataFlags(command, "examples to keep aside, or their share; default 0.1")
    .addOption(rare(option("--eval-data <file>", "evaluate on this file instead of held-out examples")))
    .addOption(rare(option("--eval-every <n>", "steps between evaluations; default an epoch's", integer())))
    .addOption(rare(option("--rouge <n>", "summaries to score at each evaluation", integer(0), 0)))
    .addOption(rare(option("--max-new-tokens <n>", "in those summaries", integer(), 128)))
    .addOption(rare(option("--patience <n>", "stop after n evaluations without progress", integer())))
    .addOption(rare(choice("--keep <which>", "parameters in the result", ["best", "last"]).default("best")))
    .addOption(rare(option("--save-every <n>", "steps between checkpoints; default 50 at most", integer())))
    .option("--seed <n>", "same seed, same bits", integer(0), 0)
    .addOption(rare(option("--licence <id>", "for the adapter's README")));
  return command;
}
