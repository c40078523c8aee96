/** The command line in a tab: its words are carried out by the very code of `graft`, over the tab's files. */
import { alone } from "../../train/mod.ts";
import { convert } from "../../cli/convert.ts";
import { trainingOptions } from "../../cli/finetune.ts";
import { planRun } from "../../cli/finetune/plan.ts";
import { finetuneResult, type Reported, type RunListener } from "../../cli/finetune/run.ts";
import type { FinetuneFlags } from "../../cli/finetune/settings.ts";
import { merge } from "../../cli/merge.ts";
import { type Command, momentary, newProgram, Option } from "../../cli/terminal/arguments.ts";
import { runFileText } from "../../cli/terminal/run_file.ts";
import process from "../node/process.ts";
import { standardStreams } from "../node/streams.ts";

/** `graft finetune` with what a tab has of it: no launchers, no run files. */
export function finetuneCommand(program: Command): Command {
  return trainingOptions(
    program.command("finetune").option("-d, --data <path>").option("-o, --output <folder>"),
  )
    .addOption(momentary(new Option("--resume"))).addOption(momentary(new Option("--plan")));
}

const newGraft = (): Command => newProgram("graft", "", "0.0.0");

/** Parses words and does what the action says. */
async function carriedOut(program: Command, words: readonly string[]): Promise<void> {
  process.argv = ["browser", "graft", ...words];
  await program.parseAsync([...words], { from: "user" });
}

/** Runs or resumes `graft finetune`. @throws what the command throws. */
export async function runFinetune(words: readonly string[], listener: RunListener): Promise<Reported> {
  const program = newGraft();
  let result: Reported | undefined;
  const command = finetuneCommand(program).action(async () => {
    const flags = command.opts<FinetuneFlags & { readonly data: string; readonly output: string }>();
    result = await finetuneResult({ ...flags, runFile: runFileText(command) }, alone, listener);
  });
  await carriedOut(program, words);
  return result!;
}

/** The memory that `graft finetune --plan` tells, in bytes. @throws what the command throws. */
export async function runPlan(
  words: readonly string[],
): Promise<{ readonly total: number; readonly weights: number }> {
  const program = newGraft();
  const command = finetuneCommand(program).action(() =>
    planRun({ ...command.opts<FinetuneFlags>(), json: true })
  );
  return JSON.parse(await saidBy(1, () => carriedOut(program, [...words, "--plan"])));
}

/** Runs `graft merge` or `graft convert`, and returns what it says. @throws what the command throws. */
export function runOther(words: readonly string[]): Promise<string> {
  const program = newGraft();
  merge(program);
  convert(program);
  return saidBy(1, () => carriedOut(program, words));
}

/** What is written to a stream while something is done. */
export async function saidBy(stream: 1 | 2, work: () => Promise<unknown>): Promise<string> {
  let said = "";
  const stop = standardStreams.listen((from, text) => {
    if (from === stream) said += text;
  });
  try {
    await work();
  } finally {
    stop();
  }
  return said;
}
