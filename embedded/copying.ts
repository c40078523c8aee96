/**
 * Requests whose answer occurs verbatim in the text before it: a list of facts, some lines, the rest of a
 * line, the names and numbers of a dialogue. Repeated text is what teaches a transformer to copy (induction
 * heads, Olsson et al. 2022, arXiv 2209.11895). With the five million tokens of `deno task pretrain` the
 * embedded model learns their form, but not yet to copy: names and numbers in its answers are plausible ones,
 * not those of the text. None of the requests is a summary.
 */
import { fold, type Key } from "../tensor/key.ts";
import { chance, pick, randomBelow, shuffle } from "./conversations/grammar.ts";
import { CITIES, FIRST_NAMES, LAST_NAMES, PRODUCTS, STREETS, WEEKDAYS } from "./conversations/lists.ts";
import { among, code, count, days, money, type Source, time } from "./conversations/sources.ts";

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
];

/** A request and its answer as a chat. */
function chat(request: string, answer: string): string {
  return `<|user|>\n${request}\n<|assistant|>\n${answer}\n`;
}

/** Two to fourteen facts to repeat; no grammar determines what comes next, only the request. */
export function repeatFacts(key: Key): string {
  const kinds = shuffle(fold(key, "kinds"), [...FACTS, ...FACTS]).slice(
    0,
    2 + randomBelow(fold(key, "how many"), 13),
  );
  const facts = kinds.map((source, i) => source(fold(key, i), key).said);
  const list = facts.join(pick(fold(key, "between"), [", ", "; ", " and ", "\n"]));
  return chat(`Repeat: ${list}`, list);
}

/** One to six consecutive lines to repeat. */
export function repeatLines(dialogue: string, key: Key): string {
  const lines = dialogue.split("\n");
  const from = randomBelow(fold(key, "from"), lines.length);
  const some = lines.slice(from, from + 1 + randomBelow(fold(key, "how many"), 6)).join("\n");
  return chat(`Repeat: ${some}`, some);
}

/** A line of a whole dialogue to finish after its first words. */
export function finishLine(dialogue: string, key: Key): string {
  const line = pick(fold(key, "line"), dialogue.split("\n").filter((text) => text.split(" ").length > 4));
  const start = line.split(" ").slice(0, 3).join(" ");
  return chat(`${dialogue}\n\nWrite the line that starts with: ${start}`, line);
}

/** Names of two words, a number with its month or unit, a code, a name inside a sentence. */
const FACT =
  /[A-Z][a-z]+ [A-Z][a-z]+|(?:[A-Z][a-z]+ )?[£$]?\d[\d.,:]*\d(?: (?:am|pm|euros)\b)?|[\w-]*\d[\w-]*|(?<=[a-z,] )[A-Z][a-z]+/g;

/**
 * The names and numbers of a dialogue, in order, each once: words with a digit, and capitalized words inside
 * a sentence. Half the time the request comes before the dialogue, as a request to summarize will.
 */
export function listFacts(dialogue: string, key: Key): string {
  const said = dialogue.replaceAll(/^\w+: /gm, "");
  const found = said.match(FACT) ?? [];
  const facts = [...new Set(found)].join(", ") || "none";
  const request = "List the names and numbers.";
  return chat(
    chance(fold(key, "order"), 0.5) ? `${request}\n\n${dialogue}` : `${dialogue}\n\n${request}`,
    facts,
  );
}
