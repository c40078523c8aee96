/**
 * A Modelfile for `ollama create`: the GGUF, the chat template as Ollama has it (Go's text/template over `.Messages`), and the texts that end
 * an answer. A chat template is a Jinja program, which Ollama does not run; what it writes before and after each role's content is found
 * by writing conversations with it, and a template for which that does not hold is refused.
 */
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { rangeError } from "../../errors/error.ts";

/** What a template writes around the content of a role. */
interface Around {
  readonly before: string;
  readonly after: string;
}

/** What a template writes. */
export interface TurnTexts {
  readonly system: Around | undefined;
  readonly user: Around;
  readonly assistant: Around;
  /** The system text that the template writes where there is none. */
  readonly standard: string;
}

/** Contents that no template changes. */
const [SYSTEM, ASKED, ANSWERED, AGAIN] = ["qsystemq", "qaskedq", "qansweredq", "qagainq"];

/**
 * The texts around each role's content.
 *
 * @throws {RangeError} when a conversation is not made of such texts.
 */
export function turnTexts(tokenizer: Pick<Tokenizer, "chat">): TurnTexts {
  const chat = (...turns: (readonly [role: string, content: string])[]): string =>
    tokenizer.chat(turns.map(([role, content]) => ({ role, content })));
  const open = (...turns: (readonly [role: string, content: string])[]): string =>
    tokenizer.chat(turns.map(([role, content]) => ({ role, content })), { addGenerationPrompt: true });
  const [head, tail] = parted(open(["user", ASKED!]), ASKED!);
  const plain = chat(["user", ASKED!]);
  const after = parted(plain, ASKED!)[1];
  const openAssistant = tail.slice(after.length);
  const two = chat(["user", ASKED!], ["assistant", ANSWERED!], ["user", AGAIN!]);
  const [first, rest] = parted(two, ANSWERED!);
  const [between] = parted(rest, AGAIN!);
  const closing = parted(chat(["user", ASKED!], ["assistant", ANSWERED!]), ANSWERED!)[1];
  if (!between.startsWith(closing)) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot write a Modelfile: the chat template ends an answer of the past otherwise than the last one",
    );
  }
  const assistant = { before: openAssistant, after: closing };
  const user = { before: between.slice(closing.length), after };
  if (!head.endsWith(user.before) || first !== `${head}${ASKED}${after}${openAssistant}`) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot write a Modelfile: the chat template writes a turn of the past otherwise than a new one",
    );
  }
  const standard = head.slice(0, head.length - user.before.length);
  const told = attempt(() => chat(["system", SYSTEM!], ["user", ASKED!]));
  const texts: TurnTexts = {
    system: told?.includes(SYSTEM!) ? systemTexts(told, user) : undefined,
    user,
    assistant,
    standard,
  };
  check(texts, chat, open);
  return texts;
}

function systemTexts(told: string, user: Around): Around {
  const [before, rest] = parted(told, SYSTEM!);
  const [until] = parted(rest, ASKED!);
  if (!until.endsWith(user.before)) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot write a Modelfile: the chat template puts the system's text into the first question",
    );
  }
  return { before, after: until.slice(0, until.length - user.before.length) };
}

/** The text of a conversation by these texts: what Ollama's template below writes. */
export function writtenBy(
  { system, user, assistant, standard }: TurnTexts,
  messages: readonly { readonly role: string; readonly content: string }[],
  opening: boolean,
): string {
  const turns = messages.map(({ role, content }) => {
    const around = role === "system" ? system : role === "user" ? user : assistant;
    return `${around!.before}${content}${around!.after}`;
  });
  const first = messages[0]?.role === "system" ? "" : standard;
  return `${first}${turns.join("")}${opening ? assistant.before : ""}`;
}

type Chat = (...turns: (readonly [role: string, content: string])[]) => string;

/** @throws {RangeError} when a longer conversation is written otherwise. */
function check(texts: TurnTexts, chat: Chat, open: Chat): void {
  const turns: (readonly [string, string])[] = [
    ["user", "one"],
    ["assistant", "two"],
    ["user", "three"],
    ["assistant", "four"],
    ["user", "five"],
  ];
  const all = texts.system === undefined ? [turns] : [turns, [["system", "zero"] as const, ...turns]];
  for (const list of all) {
    const messages = list.map(([role, content]) => ({ role, content }));
    if (
      open(...list) !== writtenBy(texts, messages, true) ||
      chat(...list) !== writtenBy(texts, messages, false)
    ) {
      throw rangeError(
        "CANNOT_SAVE",
        "Cannot write a Modelfile: the chat template does more than to write texts around messages",
      );
    }
  }
}

function parted(text: string, content: string): readonly [before: string, after: string] {
  const at = text.lastIndexOf(content);
  if (at < 0) {
    throw rangeError("CANNOT_SAVE", "Cannot write a Modelfile: the chat template changes what messages say");
  }
  return [text.slice(0, at), text.slice(at + content.length)];
}

function attempt<T>(f: () => T): T | undefined {
  try {
    return f();
  } catch {
    return undefined; // a template that knows no system messages
  }
}

/**
 * The Modelfile. A start token is left out of the template where the file's own tokenizer adds it.
 *
 * @param model The model's path as the Modelfile names it.
 * @param adapter The path of an adapter that Ollama is to put on it.
 */
export function modelfile(
  model: string,
  tokenizer: Pick<Tokenizer, "chat" | "bos" | "eos" | "token">,
  adapter?: string,
): string {
  const { bos, eos } = tokenizer;
  const token = (id: number | undefined): string => id === undefined ? "" : tokenizer.token(id) ?? "";
  const { system, user, assistant, standard } = turnTexts(tokenizer);
  const start = token(bos);
  const bare = (text: string): string =>
    start !== "" && text.startsWith(start) ? text.slice(start.length) : text;
  const around = ({ before, after }: Around, first: (text: string) => string = (text) => text): string =>
    `${quoted(first(before))}{{ .Content }}${quoted(after)}`;
  const roles = [
    ...system === undefined ? [] : [`{{ if eq .Role "system" }}${around(system, bare)}{{ end }}`],
    `{{ if eq .Role "user" }}${around(user)}{{ end }}`,
    `{{ if eq .Role "assistant" }}${around(assistant)}{{ end }}`,
  ];
  const unsaid = bare(standard);
  const head = unsaid === ""
    ? ""
    : system === undefined
    ? quoted(unsaid)
    : `{{ if ne (index .Messages 0).Role "system" }}${quoted(unsaid)}{{ end }}`;
  const last = `{{ if ne (index .Messages (len (slice .Messages 1))).Role "assistant" }}${
    quoted(assistant.before)
  }{{ end }}`;
  const stops = [...new Set([assistant.after.trim(), token(eos)])].filter((text) => text !== "");
  return [
    `FROM ${model}`,
    ...adapter === undefined ? [] : [`ADAPTER ${adapter}`],
    `TEMPLATE """${head}{{ range .Messages }}${roles.join("")}{{ end }}${last}"""`,
    ...stops.map((text) => `PARAMETER stop ${JSON.stringify(text)}`),
    "",
  ].join("\n");
}

/** Text as Go's templates write it: line ends and braces stay what they are, and quotes do not end the Modelfile's text. */
function quoted(text: string): string {
  return text === "" ? "" : /["{}`\\]|^\s|\s$|\n/.test(text) ? `{{ ${JSON.stringify(text)} }}` : text;
}
