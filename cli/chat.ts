/** `graft chat`: a conversation with a model and its adapters in the terminal. */
import process from "node:process";
import { createInterface } from "node:readline";
import { type Adapter, generate, graft, type Model, type Sampler } from "../core/mod.ts";
import type { ChatMessage } from "../formats/chat_template.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { advisedSampler } from "../io/generation_config.ts";
import { contextLength } from "../models/mod.ts";
import { isTerminal } from "../platform/streams.ts";
import { type Command, helpAll, integer, number, option, rare, repeated } from "./terminal/arguments.ts";
import {
  dtypeFlag,
  type DtypeFlags,
  dtypeOf,
  localSource,
  methodFileOption,
  type ModelFlags,
  modelFlags,
  openModel,
  outsideOption,
} from "./load.ts";
import { ADAPTERS_BASE, modelSource } from "./model_source.ts";
import { checkNames, loadNamed, type NamedAdapter, namedAdapter } from "./named_adapters.ts";
import { note, print, printPiece } from "./terminal/output.ts";

const EXAMPLE = `
Example:
  graft chat -m model.gguf --adapter polite=adapter-1 --adapter brief=adapter-2

In the conversation: /adapter polite (or none) changes who answers, /new forgets
what was said, /quit or Ctrl-D ends. Without sampling options the model's
generation_config.json decides; where it has none the likeliest token is taken.`;

interface ChatFlags extends ModelFlags, DtypeFlags {
  readonly adapter?: readonly NamedAdapter[];
  readonly system?: string;
  readonly maxNewTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly stop?: readonly string[];
}

/** Registers the command. */
export function chat(program: Command): void {
  const command = program.command("chat").description("Talk to a model and its adapters in the terminal");
  dtypeFlag(modelFlags(command, ADAPTERS_BASE))
    .option("-a, --adapter <name=folder>", "an adapter and a name for it; may be repeated", namedAdapter)
    .addOption(rare(outsideOption())).addOption(rare(methodFileOption()))
    .option("--system <text>", "the system's message")
    .option("--max-new-tokens <n>", "longest answer, in tokens", integer(), 512)
    .option("--temperature <t>", "0 takes the likeliest token", number({ from: 0 }))
    .option("--top-k <k>", "draw from the k best tokens", integer())
    .option("--top-p <p>", "draw from the likeliest tokens of this mass", number({ above: 0, to: 1 }))
    .option("--seed <n>", "of the draws: same seed, same answers", integer(0), 0)
    .addOption(rare(option("--stop <text>", "end before this text; may be repeated", repeated)));
  helpAll(command).addHelpText("after", EXAMPLE).action(() => run(command.opts<ChatFlags>()));
}

async function run(flags: ChatFlags): Promise<void> {
  const { adapter: named = [], system, ...rest } = flags;
  checkNames(["none"], named);
  const [first] = named;
  const source = await modelSource({ ...rest, ...first && { adapter: first.source } });
  const opened = await openModel({ ...rest, model: source }, dtypeOf(flags));
  try {
    const adapters = await loadNamed(named, opened, flags);
    const sampler = samplerOf(flags, await localSource(source));
    // Not before all is loaded: lines of an input that has ended by then would be lost.
    const lines = createInterface({ input: process.stdin, terminal: false });
    const start: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
    let [messages, by] = [start, first?.name ?? "none"];
    note(`${source}${by === "none" ? "" : ` with ${by}`}. /help tells what else can be said.`);
    const ask = (): void => isTerminal(0) && isTerminal(2) ? void process.stderr.write("> ") : undefined;
    ask();
    for await (const line of lines) {
      const said = line.trim();
      const [order, name = ""] = said.split(/\s+/);
      if (order === "/quit" || order === "/exit") break;
      else if (order === "/new") messages = start;
      else if (order === "/help") note(EXAMPLE.split("\n\n")[1]!);
      else if (order === "/adapter") {
        if (name === "none" || Object.hasOwn(adapters, name)) by = name;
        else {note(
            `There is no adapter "${name}": there are ${["none", ...Object.keys(adapters)].join(", ")}`,
          );}
      } else if (order?.startsWith("/")) note(`There is no "${order}"; /help lists the commands`);
      else if (said !== "") {
        const asked = fitting(
          opened.base,
          [...messages, { role: "user", content: said }],
          flags.maxNewTokens,
        );
        const content = await answer(opened.base, adapters[by], asked, flags, sampler);
        messages = [...asked, { role: "assistant", content }];
      }
      ask();
    }
    lines.close();
  } finally {
    opened.close();
  }
}

/** Writes the answer while it is made, and returns it. */
async function answer(
  base: Model<Tokenizer>,
  adapter: Adapter | undefined,
  messages: readonly ChatMessage[],
  { maxNewTokens, seed, stop }: ChatFlags,
  sampler: Sampler | undefined,
): Promise<string> {
  const model = adapter === undefined ? base : graft(base, adapter);
  const text = await generate(model, promptOf(base.tokenizer, messages), {
    maxNewTokens,
    key: seed + messages.length,
    ...sampler !== undefined && { sampler },
    ...stop !== undefined && { stop },
    onToken: ({ text }) => printPiece(text),
  });
  print("");
  return text;
}

/** A chat template writes its own special tokens. */
const promptOf = (tokenizer: Tokenizer, messages: readonly ChatMessage[]): readonly number[] =>
  tokenizer.encode(tokenizer.chat(messages, { addGenerationPrompt: true }), { addSpecialTokens: false });

/** The messages, without the oldest exchanges where the context has no room for all and an answer. */
function fitting(
  model: Model<Tokenizer>,
  messages: readonly ChatMessage[],
  answer: number,
): readonly ChatMessage[] {
  const room = contextLength(model) - answer;
  const oldest = messages.findIndex(({ role }) => role !== "system");
  if (messages.length - oldest < 3 || promptOf(model.tokenizer, messages).length <= room) return messages;
  note("The conversation is longer than the model's context: its oldest exchange is forgotten");
  return fitting(model, messages.toSpliced(oldest, 2), answer);
}

/** As the options say, or the model's folder where there is none. */
function samplerOf({ temperature, topK, topP }: ChatFlags, source: string): Sampler | undefined {
  if (temperature === undefined && topK === undefined && topP === undefined) return advisedSampler(source);
  if (temperature === 0) return undefined;
  return {
    ...temperature !== undefined && { temperature },
    ...topK !== undefined && { topK },
    ...topP !== undefined && { topP },
  };
}
