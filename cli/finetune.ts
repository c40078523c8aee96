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
  momentary,
  names,
  number,
  onePath,
  Option,
  option,
  rare,
  type Reader,
  reader,
} from "./terminal/arguments.ts";
import { applyRunFile, runFileSchema, runFileText } from "./terminal/run_file.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { exists } from "../io/path_exists.ts";
import { printJson } from "./terminal/output.ts";
import { dataFlags } from "./data.ts";
import { localData } from "./data_source.ts";
import { objectiveFlags } from "./finetune/objective_flags.ts";
import { planRun } from "./finetune/plan.ts";
import { withRanks } from "./finetune/ranks.ts";
import { runFinetune } from "./finetune/run.ts";
import { chosenFlags, type FinetuneFlags, OPTIMIZERS, SCHEDULES } from "./finetune/settings.ts";
import { dtypeFlag, modelFlags, precisionFlag } from "./load.ts";
import { isTrainable, STANDARD_METHOD } from "../tuning/chosen_method.ts";
import { FAMILIES } from "../methods/index.ts";
import { CHUNK_TOKENS } from "../train/mod.ts";

/** The names of all methods that train, by family. */
function methodNames(): string {
  return Object.entries(FAMILIES).flatMap(([family, definitions]) => {
    const own = definitions.filter(isTrainable).map(({ name }) => name);
    return own.length === 0 ? [] : [wrapped(`${family.replaceAll("_", " ")}: ${own.join(", ")}`, 80)];
  }).join("\n");
}

const ending = (all: boolean): string => {
  const count = Object.values(FAMILIES).flat().filter(isTrainable).length;
  return `
Examples:
  graft finetune -m model.gguf -d train.jsonl -o adapter --method dora --rank 4
  graft finetune run.yaml
Data of every common form and shape: graft data --help lists them
Methods: graft methods lists all ${count}, graft methods --show lora what one takes${
    all ? `\n${methodNames()}` : ""
  }`;
};

function wrapped(text: string, width: number): string {
  return text.replace(new RegExp(`(.{1,${width - 4}})(?: |$)`, "g"), "    $1\n").trimEnd().replace(
    /^ {4}/,
    "  ",
  );
}

const optionsObject: Reader<JsonOptions> = reader((text) => {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value) && !Array.isArray(value)) return value as JsonOptions;
  } catch {
    // Reported below.
  }
  throw new InvalidArgumentError(`Expected a JSON object such as '{"rank": 4}' but found "${text}"`);
}, { type: "object" });

/** Registers the command. */
export function finetune(program: Command): void {
  const command = program.command("finetune")
    .description("Train a model on examples by any method; writes an adapter that PEFT reads")
    .argument("[run]", "these options as a file, .yaml or .json")
    .option("-d, --data <path|id>", "examples: a file, a folder or a hub id", onePath)
    .option("-o, --output <folder>", "new folder of the adapter; default runs/<method>", onePath);
  trainingOptions(command)
    .addOption(momentary(new Option("--resume", "continue the run in --output, with its options")))
    .addOption(
      rare(momentary(option("--save-config <file>", "write the options as a run file, and stop", onePath))),
    )
    .addOption(rare(momentary(new Option("--schema", "print the JSON Schema of run files, and stop"))))
    .addOption(rare(new Option("--keep-checkpoint", "keep the last checkpoint of a finished run")))
    .addOption(rare(momentary(new Option("--overwrite", "replace --output when the new run is done"))))
    .addOption(momentary(new Option("--plan", "print the memory, time and disk that it takes, and stop")))
    .addOption(
      rare(momentary(option("--config <file>", "plan for a model of which only config.json is here"))),
    )
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
      rare(
        momentary(
          new Option("--profile", "print the kernels of a step, their bytes and operations; gpu only"),
        ),
      ),
    )
    .addOption(
      rare(
        momentary(
          new Option("--distributed <how>", "train with the other processes of mpirun or srun")
            .choices(["auto", "mpi", "off"]).default("auto"),
        ),
      ),
    )
    .addOption(momentary(new Option("--json", "print the result as JSON")));
  const all = (): boolean => command.options.every(({ hidden }) => !hidden);
  helpAll(command).addHelpText("after", () => ending(all()))
    .action(async (run: string | undefined) => {
      if (command.opts()["schema"] === true) {
        return printJson(runFileSchema(command, "A run of graft finetune"));
      }
      if (run !== undefined) applyRunFile(command, run);
      const { resume, output, overwrite, saveConfig } = command.opts<FinetuneFlags>();
      if (resume === true && output !== undefined) {
        const kept = keptRunFile(output, overwrite === true);
        if (kept !== undefined) applyRunFile(command, kept);
      }
      if (saveConfig !== undefined) return await writeTextAtomically(saveConfig, runFileText(command));
      const flags = await localData(command.opts<FinetuneFlags>());
      if (flags.plan === true) return await planRun(flags);
      if (flags.config !== undefined) {
        throw new UsageError("Expected --plan with --config: a config has no weights");
      }
      const { method } = await chosenFlags(flags);
      if (flags.data === undefined) {
        throw new UsageError("Expected --data: a file or folder of examples, or a data set of the hub");
      }
      const { data, output: folder = `runs/${method}` } = flags;
      await withRanks(
        flags.distributed ?? "auto",
        (world) => runFinetune({ ...flags, data, output: folder, runFile: runFileText(command) }, world),
      );
    });
}

/** The run file of an earlier run that is to go on. */
function keptRunFile(output: string, overwrite: boolean): string | undefined {
  const folders = overwrite ? [`${output}.new`, output] : [output];
  return folders.map((folder) => `${folder}/run.yaml`).find(exists);
}

/** Adds the options that determine a run, all except its data and output. */
export function trainingOptions(command: Command): Command {
  command.addOption(
    option("--method <name>", "see below, or a file of yours", (text) => text, STANDARD_METHOD),
  );
  precisionFlag(dtypeFlag(modelFlags(command)))
    .option("--rank <r>", "of low-rank methods; default depends on the method", integer())
    .addOption(
      rare(option("--alpha <a>", "scale of the update; default depends on the method", number({ above: 0 }))),
    )
    .addOption(rare(option("--dropout <p>", "in the adapter; default 0", number({ from: 0, below: 1 }))))
    .option("--targets <names>", 'layers, separated by commas, or "all-linear"', names)
    .addOption(
      rare(option("--bottleneck <r>", "width inside an adapter; default depends on the method", integer())),
    )
    .addOption(
      rare(option("--length <n>", "rows of a prompt or prefix; default depends on the method", integer())),
    )
    .addOption(
      rare(option("--dimension <d>", "number of trained parameters, for methods that take one", integer())),
    )
    .addOption(
      rare(
        option("--options <json>", "more of the method's options, as the library names them", optionsObject),
      ),
    )
    .option("--learning-rate <x>", "peak; default depends on the method", number({ above: 0 }))
    .addOption(rare(choice("--schedule <name>", "of the learning rate", SCHEDULES).default("cosine")))
    .addOption(
      rare(option("--warmup <n>", "steps, or a share of them if below 1", number({ from: 0 }), 0.03)),
    )
    .option("--batch-size <n>", "rows per pass", integer(), 2)
    .addOption(rare(option("--accumulate <n>", "passes per step", integer(), 4)))
    .addOption(
      rare(option("--chunk-tokens <n>", "computed at once; fewer take less memory", integer(), CHUNK_TOKENS)),
    )
    .option("--epochs <n>", "passes over the data", integer(), 3)
    .option("--max-steps <n>", "stop after this many steps", integer())
    .addOption(rare(option("--packing", "several examples in a row instead of padding")))
    .addOption(
      rare(choice("--optimizer <name>", "default depends on the method: adamw, or paged", OPTIMIZERS)),
    )
    .addOption(rare(option("--weight-decay <x>", "of the optimizer", number({ from: 0 }), 0)))
    .addOption(
      rare(option("--paged-budget <size>", "host memory for paged state; the rest goes to a file", bytes)),
    )
    .addOption(rare(option("--clip <norm>", "largest norm of the gradient", number({ above: 0 }), 1)))
    .addOption(
      rare(option("--label-smoothing <s>", "share given to all tokens", number({ from: 0, below: 1 }), 0)),
    )
    .addOption(rare(new Option("--checkpoint-blocks", "recompute blocks: less memory, more time")));
  objectiveFlags(command)
    .addOption(option("--from <adapter>", "go on from a saved adapter, PEFT's too", onePath));
  dataFlags(command, "examples to keep aside, or their share; default 0.1, at most 128")
    .addOption(rare(option("--eval-data <file>", "evaluate on this file instead of held-out examples")))
    .addOption(rare(option("--eval-every <n>", "steps between evaluations; default an epoch's", integer())))
    .addOption(rare(option("--rouge <n>", "summaries to score at each evaluation", integer(0), 0)))
    .addOption(rare(option("--max-new-tokens <n>", "in those summaries", integer(), 128)))
    .addOption(rare(option("--patience <n>", "stop after n evaluations without progress", integer())))
    .addOption(rare(choice("--keep <which>", "parameters in the result", ["best", "last"]).default("best")))
    .addOption(rare(option("--save-every <n>", "steps between checkpoints; default 50 at most", integer())))
    .addOption(rare(option("--seed <n>", "same seed, same bits", integer(0), 0)))
    .addOption(rare(choice("--report <where>", "metrics also as event files", ["tensorboard"])))
    .addOption(rare(option("--licence <id>", "for the adapter's README")));
  return command;
}
