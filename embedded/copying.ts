/**
 * Requests whose answer occurs verbatim in the text before it: lists to repeat, values to look up by name,
 * facts, lines and ends of lines of a dialogue. Repeated text is what teaches a transformer to copy (induction
 * heads, Olsson et al. 2022, arXiv 2209.11895). None of the requests is a summary.
 */
import { fold, type Key } from "../tensor/key.ts";
import type { Conversation } from "./conversations/mod.ts";
import { chance, pick, randomBelow, shuffle } from "./conversations/grammar.ts";
import { CITIES, FIRST_NAMES, LAST_NAMES, PRODUCTS, STREETS, WEEKDAYS } from "./conversations/lists.ts";
import { among, code, count, days, money, type Source, time } from "./conversations/sources.ts";

/** A request and the answer to it. */
export interface Request {
  readonly asks: string;
  readonly answer: string;
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** A word that no list has: three to nine letters, sometimes with a capital. */
const nonsense: Source = (slot) => {
  const letters = Array.from(
    { length: 3 + randomBelow(fold(slot, "length"), 7) },
    (_, i) => LETTERS[randomBelow(fold(slot, i), 26)]!,
  ).join("");
  const said = chance(fold(slot, "capital"), 0.5) ? letters[0]!.toUpperCase() + letters.slice(1) : letters;
  return { said, summed: said };
};

const FACTS: readonly Source[] = [
  among(FIRST_NAMES),
  among(LAST_NAMES),
  among(CITIES),
  among(STREETS),
  among(PRODUCTS),
  among(WEEKDAYS),
  money(5, 900),
  count(2, 99),
  days(1, 90),
  time(7, 21),
  code("####", "#####", "######", "@@-###", "@####"),
  nonsense,
];

/** Different facts of all kinds. */
function drawn(key: Key, many: number): readonly string[] {
  const kinds = shuffle(fold(key, "kinds"), [...FACTS, ...FACTS]).slice(0, many);
  return [...new Set(kinds.map((source, i) => source(fold(key, i), key).said))];
}

/** A dialogue or a list with requests about it as a chat; the first may come before or after the text. */
export function chat(text: string, requests: readonly Request[], key: Key): string {
  return requests.map(({ asks, answer }, i) => {
    const asked = i > 0
      ? asks
      : chance(fold(key, "order"), 0.7)
      ? `${asks}\n\n${text}`
      : `${text}\n\n${asks}`;
    return `<|user|>\n${asked}\n<|assistant|>\n${answer}\n`;
  }).join("");
}

/** Two to twenty facts to repeat, twice in different requests: no grammar determines what comes next. */
export function repeatFacts(key: Key): string {
  const facts = drawn(key, 2 + randomBelow(fold(key, "how many"), 19));
  const between = pick(fold(key, "between"), [", ", "; ", " and ", "\n", " "]);
  const list = facts.join(between);
  const some = facts.slice(randomBelow(fold(key, "from"), facts.length)).join(between);
  return chat(list, [
    { asks: "Repeat this.", answer: list },
    { asks: `Repeat it from ${some.split(" ")[0]!}`, answer: some },
  ], key);
}

/** A table of names and values, and the values of some of the names. */
export function lookUp(key: Key): string {
  const names = drawn(fold(key, "names"), 3 + randomBelow(fold(key, "how many"), 8));
  const values = drawn(fold(key, "values"), names.length);
  const pairs = values.map((value, i) => [names[i]!, value] as const);
  const sign = pick(fold(key, "sign"), [": ", " = ", " has ", " is "]);
  const asked = shuffle(fold(key, "asked"), pairs).slice(0, 6);
  const between = pick(fold(key, "between"), ["\n", ", ", ". "]);
  return chat(
    pairs.map((pair) => pair.join(sign)).join(between),
    asked.map(([name, value], i) => ({
      asks: `${pick(fold(fold(key, "asks"), i), ["What of", "Which value has", "Look up"])} ${name}?`,
      answer: i % 2 === 0 ? value : `${name}${sign}${value}`,
    })),
    key,
  );
}

/** What to ask of a dialogue. The more facts it tells, the more questions about them. */
const KINDS = ["facts", "facts", "sentence", "sentence", "line", "end", "names and numbers"] as const;

/** The dialogue told again, before or after two to four other requests about it. */
export function aboutDialogue({ dialogue, facts, again }: Conversation, key: Key): string {
  if (Object.keys(facts).length === 0) return chat(dialogue, [finishLine(dialogue, key)], key);
  const requests = Array.from({ length: 2 + randomBelow(fold(key, "how many"), 3) }, (_, i) => {
    const own = fold(fold(key, "request"), i);
    switch (pick(fold(own, "kind"), KINDS)) {
      case "facts":
        return tellFacts(facts, own);
      case "sentence":
        return tellInSentences(facts, own);
      case "line":
        return lineWith(dialogue, facts, own);
      case "end":
        return finishLine(dialogue, own);
      case "names and numbers":
        return listFacts(dialogue);
    }
  });
  const retelling = again.length === 0 ? [] : [tellAgain(again, fold(key, "again"))];
  return chat(
    dialogue,
    chance(fold(key, "first"), 0.6) ? [...retelling, ...requests] : [...requests, ...retelling],
    key,
  );
}

/** The same facts in the words of another dialogue: what stands before a fact tells which one it must be. */
function tellAgain(again: readonly string[], key: Key): Request {
  const asks = pick(key, ["Tell it again in other words.", "Say that in other words.", "What was said?"]);
  return { asks, answer: again.join("\n") };
}

/** One to five of the facts that are told, in a random order. */
function someFacts(facts: Conversation["facts"], key: Key): readonly (readonly [string, string])[] {
  return shuffle(fold(key, "which"), Object.entries(facts)).slice(0, 1 + randomBelow(fold(key, "many"), 5));
}

/** Facts by the names of their slots: "Tell item, by." "kettle, 3 May". */
function tellFacts(facts: Conversation["facts"], key: Key): Request {
  const some = someFacts(facts, key);
  const named = chance(fold(key, "named"), 0.3);
  return {
    asks: `Tell ${some.map(([slot]) => slot).join(", ")}.`,
    answer: some.map(([slot, said]) => named ? `${slot}: ${said}` : said).join(", "),
  };
}

const SENTENCES = [
  "The {slot} is {said}.",
  "It says {said} for {slot}.",
  "{said} is the {slot}.",
  "As {slot} there is {said}.",
];

/** The same in sentences. */
function tellInSentences(facts: Conversation["facts"], key: Key): Request {
  const some = someFacts(facts, key);
  return {
    asks: `Write about ${some.map(([slot]) => slot).join(", ")}.`,
    answer: some.map(([slot, said], i) =>
      pick(fold(fold(key, "sentence"), i), SENTENCES).replace("{slot}", slot).replace("{said}", () => said)
    ).join(" "),
  };
}

/** The first line that tells a fact. */
function lineWith(dialogue: string, facts: Conversation["facts"], key: Key): Request {
  const said = pick(key, Object.values(facts));
  return { asks: `Who says ${said}?`, answer: dialogue.split("\n").find((line) => line.includes(said))! };
}

/** A line to finish after its first words. */
export function finishLine(dialogue: string, key: Key): Request {
  const line = pick(fold(key, "line"), dialogue.split("\n").filter((text) => text.split(" ").length > 4));
  const start = line.split(" ").slice(0, 4).join(" ");
  return { asks: `Write the line that starts with: ${start}`, answer: line };
}

/** Names of two words, a number with its month or unit, a code, a name inside a sentence. */
const FACT =
  /[A-Z][a-z]+ [A-Z][a-z]+|(?:[A-Z][a-z]+ )?[£$]?\d[\d.,:]*\d(?: (?:am|pm|euros)\b)?|[\w-]*\d[\w-]*|(?<=[a-z,] )[A-Z][a-z]+/g;

/** The names and numbers of a dialogue, in order, each once: words with a digit, and capitalized words in sentences. */
export function listFacts(dialogue: string): Request {
  const said = dialogue.replaceAll(/^\w+: /gm, "");
  return {
    asks: "List the names and numbers.",
    answer: [...new Set(said.match(FACT) ?? [])].join(", ") || "none",
  };
}
