/** `graft generate`: continues a text, or answers a message, streaming the output. */
import process from "node:process";
import { text as textOf } from "node:stream/consumers";
import { generate as generateText } from "../core/mod.ts";
import type { Sampler } from "../core/mod.ts";
import {
  type Command,
  helpAll,
  integer,
  number,
  onePath,
  option,
  rare,
  repeated,
} from "./terminal/arguments.ts";
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
import { ADAPTERS_BASE } from "./model_source.ts";
import { print, printJson, printPiece } from "./terminal/output.ts";
import { isTerminal } from "../platform/streams.ts";

const EXAMPLE = `
Example:
  graft generate -m model.gguf --adapter adapter --chat --prompt "Summarize: …"
  graft generate -m model.gguf < prompt.txt`;

interface GenerateFlags extends ModelFlags, DtypeFlags {
  readonly adapter?: string;
  readonly prompt?: string;
  readonly chat?: true;
  readonly system?: string;
  readonly maxNewTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly stop?: readonly string[];
  readonly json?: true;
}

/** Registers the command. */
export function generate(program: Command): void {
  const command = program.command("generate").description("Continue a text with a model, tuned or not");
  dtypeFlag(modelFlags(command, ADAPTERS_BASE))
    .option("-a, --adapter <folder>", "adapter folder to graft onto the model", onePath)
    .addOption(rare(outsideOption())).addOption(rare(methodFileOption()))
    .option("-p, --prompt <text>", "the text; default standard input")
    .option("--chat", "the text is a user's message: use the model's chat template")
    .addOption(rare(option("--system <text>", "with --chat: the system's message")))
    .option("--max-new-tokens <n>", "longest answer, in tokens", integer(), 128)
    .option("--temperature <t>", "draw instead of taking the best token", number({ above: 0 }))
    .option("--top-k <k>", "draw from the k best tokens", integer())
    .option("--top-p <p>", "draw from the likeliest tokens of this mass", number({ above: 0, to: 1 }))
    .option("--seed <n>", "of the draws: same seed, same text", integer(0), 0)
    .option("--stop <text>", "end before this text; may be repeated", repeated)
    .option("--json", "print prompt and text as JSON when done");
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
    // A chat template writes its own special tokens.
    const ids = flags.chat === true
      ? tokenizer.encode(tokenizer.chat(messages, { addGenerationPrompt: true }), { addSpecialTokens: false })
      : tokenizer.encode(prompt);
    const sampler = samplerOf(flags);
    const text = await generateText(model, ids, {
      maxNewTokens: flags.maxNewTokens,
      key: flags.seed,
      ...sampler !== undefined && { sampler },
      ...flags.stop !== undefined && { stop: flags.stop },
      ...flags.json !== true && { onToken: ({ text }) => printPiece(text) },
    });
    if (flags.json === true) printJson({ prompt, text });
    else print("");
  } finally {
    opened.close();
  }
}

/** Undefined, that is greedy, unless a sampling option is given. */
function samplerOf({ temperature, topK, topP }: GenerateFlags): Sampler | undefined {
  if (temperature === undefined && topK === undefined && topP === undefined) return undefined;
  return {
    ...temperature !== undefined && { temperature },
    ...topK !== undefined && { topK },
    ...topP !== undefined && { topP },
  };
}

async function textOfInput(): Promise<string> {
  if (isTerminal(0)) throw new UsageError("Expected --prompt, or a text on standard input");
  const text = (await textOf(process.stdin)).replace(/\r?\n$/, "");
  if (text === "") throw new UsageError("Expected a text on standard input but found none");
  return text;
}
