/** `graft chat`: a conversation with a model and its adapters in the terminal. */
import process from "node:process";
import { createInterface } from "node:readline";
import { type Adapter, generate, type GenerateOptions, graft, type Model } from "../core/mod.ts";
import type { ChatMessage } from "../formats/chat_template.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { advisedSampler } from "../io/generation_config.ts";
import { contextLength } from "../models/mod.ts";
import { isTerminal } from "../platform/streams.ts";
import { type Command, helpAll, number, option, rare } from "./terminal/arguments.ts";
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
import { chatIds, generateOptionsOf, samplerOf, type TextFlags, textFlags } from "./text_flags.ts";
import { note, print, printChunk } from "./terminal/output.ts";

const EXAMPLE = `
Example:
  graft chat -m model.gguf --adapter polite=adapter-1 --adapter brief=adapter-2

In the conversation: /adapter polite (or none) changes who answers, /new forgets
what was said, /quit or Ctrl-D ends. Without sampling options the model's
generation_config.json decides; where it has none the likeliest token is taken.`;

interface ChatFlags extends ModelFlags, DtypeFlags, TextFlags {
  readonly adapter?: readonly NamedAdapter[];
  readonly system?: string;
}

/** Registers the command. */
export function chat(program: Command): void {
  const command = program.command("chat").description("Talk to a model and its adapters in the terminal");
  const described = dtypeFlag(modelFlags(command, ADAPTERS_BASE))
    .option("-a, --adapter <name=folder>", "an adapter and a name for it; may be repeated", namedAdapter)
    .addOption(rare(outsideOption())).addOption(rare(methodFileOption()))
    .option("--system <text>", "the system's message");
  textFlags(
    described,
    512,
    option("--temperature <t>", "0 takes the likeliest token", number({ from: 0 })),
  );
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
    const local = await localSource(source);
    const sampler = samplerOf(flags, () => advisedSampler(local));
    // Not before all is loaded: lines of an input that has ended by then would be lost.
    const lines = createInterface({ input: process.stdin, terminal: false });
    const start: readonly ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
    let [messages, by] = [start, first?.name ?? "none"];
    note(`${source}${by === "none" ? "" : ` with ${by}`}. /help tells what else can be said.`);
    const names = ["none", ...Object.keys(adapters)];
    const ask = (): void => isTerminal(0) && isTerminal(2) ? void process.stderr.write("> ") : undefined;
    ask();
    for await (const line of lines) {
      const said = line.trim();
      const [order, name = ""] = said.split(/\s+/);
      if (order === "/quit" || order === "/exit") break;
      else if (order === "/new") messages = start;
      else if (order === "/help") note(EXAMPLE.split("\n\n")[1]!);
      else if (order === "/adapter") {
        if (names.includes(name)) by = name;
        else note(`There is no adapter "${name}": there are ${names.join(", ")}`);
      } else if (order?.startsWith("/")) note(`There is no "${order}"; /help lists the commands`);
      else if (said !== "") {
        const asked = fitting(
          opened.base,
          [...messages, { role: "user", content: said }],
          flags.maxNewTokens,
        );
        // Every answer draws anew.
        const drawn = { ...flags, seed: flags.seed + asked.length };
        const content = await answer(
          opened.base,
          adapters[by],
          asked,
          generateOptionsOf(drawn, sampler),
        );
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
  options: GenerateOptions,
): Promise<string> {
  const model = adapter === undefined ? base : graft(base, adapter);
  const text = await generate(model, chatIds(base.tokenizer, messages), {
    ...options,
    onToken: ({ text }) => printChunk(text),
  });
  print("");
  return text;
}

/** The messages, without the oldest exchanges where the context has no room for all and an answer. */
function fitting(
  model: Model<Tokenizer>,
  messages: readonly ChatMessage[],
  answer: number,
): readonly ChatMessage[] {
  const room = contextLength(model) - answer;
  const oldest = messages.findIndex(({ role }) => role !== "system");
  if (messages.length - oldest < 3 || chatIds(model.tokenizer, messages).length <= room) return messages;
  note("The conversation is longer than the model's context: its oldest exchange is forgotten");
  return fitting(model, messages.toSpliced(oldest, 2), answer);
}
