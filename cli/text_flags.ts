/** The flags and the prompt of commands that write text by a model: `generate` and `chat`. */
import type { GenerateOptions, Sampler } from "../core/mod.ts";
import type { ChatMessage } from "../formats/chat_template.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { type Command, integer, number, type Option, option, rare, repeated } from "./terminal/arguments.ts";

/** How long a text becomes, and how its tokens are drawn. */
export interface TextFlags {
  readonly maxNewTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly stop?: readonly string[];
  readonly exact?: true;
}

/** `--exact`. */
export const exactOption = (): Option =>
  rare(
    option(
      "--exact",
      "multiply weights in GGUF blocks by f32 numbers; default: rounded to 8 bits, as llama.cpp does",
    ),
  );

/** Adds the options of `TextFlags`. */
export function textFlags(command: Command, longest: number, temperature: Option): Command {
  return command
    .option("--max-new-tokens <n>", "longest answer, in tokens", integer(), longest)
    .addOption(temperature)
    .option("--top-k <k>", "draw from the k best tokens", integer())
    .option("--top-p <p>", "draw from the likeliest tokens of this mass", number({ above: 0, to: 1 }))
    .addOption(exactOption())
    .option("--seed <n>", "of the draws: same seed, same text", integer(0), 0)
    .addOption(option("--stop <text>", "end before this text; may be repeated", repeated));
}

/** The sampler of flags, or `otherwise` where none of them is given; undefined takes the likeliest token. */
export function samplerOf(
  { temperature, topK, topP }: TextFlags,
  otherwise: () => Sampler | undefined = () => undefined,
): Sampler | undefined {
  if (temperature === undefined && topK === undefined && topP === undefined) return otherwise();
  if (temperature === 0) return undefined;
  return {
    ...temperature !== undefined && { temperature },
    ...topK !== undefined && { topK },
    ...topP !== undefined && { topP },
  };
}

/** The flags as options of generating. */
export function generateOptionsOf(
  { maxNewTokens, seed, stop, exact }: TextFlags,
  sampler: Sampler | undefined,
): GenerateOptions {
  return {
    maxNewTokens,
    key: seed,
    roundInputs: exact !== true,
    ...sampler && { sampler },
    ...stop && { stop },
  };
}

/** A conversation up to the start of the answer. The chat template writes its own special tokens. */
export const chatIds = (tokenizer: Tokenizer, messages: readonly ChatMessage[]): readonly number[] =>
  tokenizer.encode(tokenizer.chat(messages, { addGenerationPrompt: true }), { addSpecialTokens: false });
