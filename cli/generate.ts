/** `graft generate`: continues a text, or answers a message, streaming the output. */
import process from "node:process";
import { text as textOf } from "node:stream/consumers";
import { generate as generateText } from "../core/mod.ts";
import { type Command, helpAll, number, onePath, option, rare } from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
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
import { chatIds, generateOptionsOf, samplerOf, type TextFlags, textFlags } from "./text_flags.ts";
import { ADAPTERS_BASE } from "./model_source.ts";
import { print, printChunk, printJson } from "./terminal/output.ts";
import { isTerminal } from "../platform/streams.ts";

const EXAMPLE = `
Example:
  graft generate -m model.gguf --adapter adapter --chat --prompt "Summarize: …"
  graft generate -m model.gguf < prompt.txt`;

interface GenerateFlags extends ModelFlags, DtypeFlags, TextFlags {
  readonly adapter?: string;
  readonly prompt?: string;
  readonly chat?: true;
  readonly system?: string;
  readonly json?: true;
}

/** Registers the command. */
export function generate(program: Command): void {
  const command = program.command("generate").description("Continue a text with a model, tuned or not");
  const described = dtypeFlag(modelFlags(command, ADAPTERS_BASE))
    .option("-a, --adapter <folder>", "adapter folder to graft onto the model", onePath)
    .addOption(rare(outsideOption())).addOption(rare(methodFileOption()))
    .option("-p, --prompt <text>", "the text; default standard input")
    .option("--chat", "the text is a user's message: use the model's chat template")
    .addOption(rare(option("--system <text>", "with --chat: the system's message")));
  textFlags(
    described,
    128,
    option("--temperature <t>", "draw instead of taking the best token", number({ above: 0 })),
  ).option("--json", "print prompt and text as JSON when done");
  helpAll(command).addHelpText("after", EXAMPLE).action(() => run(command.opts<GenerateFlags>()));
}

async function run(flags: GenerateFlags): Promise<void> {
  if (flags.system !== undefined && flags.chat !== true) {
    throw new UsageError("Expected --chat with --system");
  }
  const prompt = flags.prompt ?? await textOfInput();
  const opened = await openModel(flags, dtypeOf(flags));
  try {
    const { model } = opened;
    const { tokenizer } = model;
    const messages = [
      ...flags.system === undefined ? [] : [{ role: "system", content: flags.system }],
      { role: "user", content: prompt },
    ];
    const ids = flags.chat === true ? chatIds(tokenizer, messages) : tokenizer.encode(prompt);
    const text = await generateText(model, ids, {
      ...generateOptionsOf(flags, samplerOf(flags)),
      ...flags.json !== true && { onToken: ({ text }) => printChunk(text) },
    });
    if (flags.json === true) printJson({ prompt, text });
    else print("");
  } finally {
    opened.close();
  }
}

async function textOfInput(): Promise<string> {
  if (isTerminal(0)) throw new UsageError("Expected --prompt, or a text on standard input");
  const text = (await textOf(process.stdin)).replace(/\r?\n$/, "");
  if (text === "") throw new UsageError("Expected a text on standard input but found none");
  return text;
}
