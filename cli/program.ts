/** Assembles the command line: one file per command. */
import metadata from "../deno.json" with { type: "json" };
import { type Command, momentary, newProgram, Option, rare } from "./terminal/arguments.ts";
import { chat } from "./chat.ts";
import { combine } from "./combine.ts";
import { compare } from "./compare.ts";
import { completion } from "./completion.ts";
import { convert } from "./convert.ts";
import { data } from "./data_command.ts";
import { doctor } from "./doctor.ts";
import { embed } from "./embed.ts";
import { evaluate } from "./evaluate.ts";
import { finetune } from "./finetune.ts";
import { generate } from "./generate.ts";
import { inspect } from "./inspect.ts";
import { merge } from "./merge.ts";
import { methods } from "./methods.ts";
import { quantize } from "./quantize.ts";
import { serve } from "./serve.ts";
import { studio } from "./studio.ts";
import { sweep } from "./sweep.ts";

/** The program with all its commands. */
export function graftProgram(): Command {
  const program = newProgram(
    "graft",
    "Parameter-efficient fine-tuning of language models, on your own machine.",
    metadata.version,
  );
  for (
    const register of [
      finetune,
      compare,
      generate,
      chat,
      serve,
      sweep,
      studio,
      evaluate,
      merge,
      combine,
      methods,
      data,
      embed,
      quantize,
      convert,
      inspect,
      doctor,
      completion,
    ]
  ) {
    register(program);
  }
  program.addHelpText(
    "after",
    "\nExamples:\n  graft finetune -m model.gguf -d train.jsonl -o adapter\n" +
      '  graft generate -m model.gguf --adapter adapter --chat --prompt "Summarize: …"',
  );
  for (const command of program.commands) {
    command.addOption(rare(momentary(new Option("--debug", "print the stack of an error"))));
  }
  return program;
}
