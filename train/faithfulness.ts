/**
 * Faithfulness of a summary: which of its facts stand in its conversation, and which of the wanted facts it
 * tells. For the sets of facts F (names, numbers, dates and given terms) of a conversation c, of the wanted
 * summary w and of the generated one g:
 *
 *     precision = |{f ∈ F(g) : f stands in c}| / |F(g)|        recall = |F(g) ∩ F(w)| / |F(w)|
 *
 * Both are shares from 0 to 1. Over a data set numerators and denominators are added up before they are
 * divided, so a summary without a fact has no weight of its own. ROUGE rewards the right form with wrong
 * facts; this does not.
 *
 * A date is a day with the English name of a month, in either order. A number is written in digits, with
 * neither currency nor unit; letters make it a code (LA-7353), and it then counts as a whole. A name is a
 * capitalized word, unless it only begins a sentence as "The" does. A name stands in a conversation in small
 * letters, too. Numbers in words, and things that are not among the terms, are not facts.
 */

/** Facts counted, of one summary or of many. */
export interface FactCounts {
  /** Facts of the generated summary. */
  readonly stated: number;
  /** Those of them that stand in the conversation. */
  readonly true: number;
  /** Facts of the wanted summary. */
  readonly wanted: number;
  /** Those of them that the generated summary has. */
  readonly found: number;
}

/** Two shares from 0 to 1; undefined where there is no fact to count. */
export interface Faithfulness {
  /** Of the facts stated, how many stand in the conversation. */
  readonly precision: number | undefined;
  /** Of the facts wanted, how many are stated. */
  readonly recall: number | undefined;
}

/** What else is a fact. */
export interface FactOptions {
  /** Words that are facts in small letters, such as the names of products: "rice cooker". Default: none. */
  readonly terms?: readonly string[];
}

/** The three texts of one summary. */
export interface Summarized {
  /** The conversation that it sums up. */
  readonly conversation: string;
  /** The summary to compare with. */
  readonly wanted: string;
  /** The generated summary. */
  readonly written: string;
}

/**
 * The facts of a summary, each once, in a form in which equal facts are equal: "15 january", "22.75",
 * "la-7353", "becker".
 *
 * @example
 * ```ts
 * import { factsIn } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const facts = factsIn("The parcel LA-7353 for Anna comes by May 3rd; a kettle costs £22.75.", { terms: ["kettle"] });
 * assert.deepEqual([...facts], ["3 may", "kettle", "la-7353", "anna", "22.75"]);
 * ```
 */
export function factsIn(text: string, options: FactOptions = {}): ReadonlySet<string> {
  return new Set(placedFacts(text, options).map(({ fact }) => fact));
}

/**
 * Where a summary states facts that do not stand in its conversation: offsets [from, to) into `written`, ascending.
 *
 * @example
 * ```ts
 * import { inventedFacts } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const written = "Anna from Lyon waits for 4711.";
 * const spans = inventedFacts({ conversation: "Customer: Hi, Anna here. My order 4711 is late.", written });
 * assert.deepEqual(spans.map(([from, to]) => written.slice(from, to)), ["Lyon"]);
 * ```
 */
export function inventedFacts(
  { conversation, written }: Pick<Summarized, "conversation" | "written">,
  options: FactOptions = {},
): readonly (readonly [from: number, to: number])[] {
  const stands = standingIn(conversation, options);
  return placedFacts(written, options)
    .filter(({ fact }) => !stands(fact))
    .map(({ from, to }) => [from, to] as const)
    .sort(([a], [b]) => a - b);
}

/**
 * Counts the facts of a summary.
 *
 * @example
 * ```ts
 * import { countFacts } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const counts = countFacts({
 *   conversation: "Customer: Hi, Anna here, from Oslo. My order 4711 is late.",
 *   wanted: "Anna waits for order 4711.",
 *   written: "Anna from Lyon waits for 4711.",
 * });
 * assert.deepEqual(counts, { stated: 3, true: 2, wanted: 2, found: 2 }); // Lyon is invented
 * ```
 */
export function countFacts(texts: Summarized, options: FactOptions = {}): FactCounts {
  const stated = factsIn(texts.written, options);
  const wanted = factsIn(texts.wanted, options);
  const standing = standingIn(texts.conversation, options);
  return {
    stated: stated.size,
    true: [...stated].filter(standing).length,
    wanted: wanted.size,
    found: stated.intersection(wanted).size,
  };
}

/**
 * Precision and recall over summaries.
 *
 * @example
 * ```ts
 * import { faithfulness } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const conversation = "Customer: I am Ben. When does the train to Oslo leave? Agent: At 7:30.";
 * const wanted = "Ben asks for a train to Oslo, which leaves at 7:30.";
 * const written = ["Ben asks for a train to Oslo.", "Ben asks for a train to Lyon, which leaves at 8:15."];
 * assert.deepEqual(faithfulness(written.map((written) => ({ conversation, wanted, written }))), {
 *   precision: (2 + 1) / (2 + 3),
 *   recall: (2 + 1) / (3 + 3),
 * });
 * ```
 */
export function faithfulness(summaries: readonly Summarized[], options: FactOptions = {}): Faithfulness {
  const counts = summaries.map((texts) => countFacts(texts, options));
  const sum = (of: keyof FactCounts): number => counts.reduce((total, each) => total + each[of], 0);
  const share = (part: number, whole: number): number | undefined => whole === 0 ? undefined : part / whole;
  return { precision: share(sum("true"), sum("stated")), recall: share(sum("found"), sum("wanted")) };
}

/**
 * Whether a fact, as `factsIn` gives it, stands in a conversation. Words are compared in small letters, so
 * that a customer's "anna" is Anna; the day of a date is a number of the conversation, too.
 */
function standingIn(conversation: string, options: FactOptions): (fact: string) => boolean {
  const told = factsIn(conversation, options);
  const undated = new Set([...conversation.matchAll(WORD)].flatMap(([word]) => keysOf(word)));
  return (fact) => told.has(fact) || undated.has(fact);
}

const MONTH = "January|February|March|April|May|June|July|August|September|October|November|December";
const DAY = "(?<!\\d|\\d[.,:])(\\d{1,2})(?:st|nd|rd|th)?";
const DATE = new RegExp(`${DAY}(?: of)? (${MONTH})\\b|\\b(${MONTH}) ${DAY}(?![\\d\\p{L}]|[.,:]\\d)`, "gu");

/** A fact and where it stands in its text: offsets [from, to). */
interface PlacedFact {
  readonly fact: string;
  readonly from: number;
  readonly to: number;
}

/** The facts of a text: dates, then terms, then words. */
function placedFacts(text: string, { terms = [] }: FactOptions): readonly PlacedFact[] {
  const { left, dates } = takeDates(text);
  const words = [...left.matchAll(WORD)].flatMap(({ 0: word, index }) =>
    factsOfWord(word, left.slice(0, index)).map((fact) => ({ fact, from: index, to: index + word.length }))
  );
  return [...dates, ...terms.map(lower).flatMap((term) => occurrences(text, term)), ...words];
}

/** The dates of a text as "3 may", and the text with dots, which start no sentence, in their place. */
function takeDates(text: string): { readonly left: string; readonly dates: readonly PlacedFact[] } {
  const dates = [...text.matchAll(DATE)].map((match) => {
    const [said, day, month, first, second] = match;
    const { index } = match;
    return {
      fact: `${Number(day ?? second)} ${lower((month ?? first)!)}`,
      from: index,
      to: index + said.length,
    };
  });
  return { left: text.replace(DATE, (said: string) => "…".repeat(said.length)), dates };
}

/** An address, or letters and digits joined by signs that end no word. */
const WORD = /[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[\p{L}\p{N}](?:[\p{L}\p{N}.,:/-]*[\p{L}\p{N}])?/gu;

/** The facts that a word is, after the text before it. */
function factsOfWord(word: string, before: string): readonly string[] {
  if (/@|\p{N}/u.test(word)) return keysOf(word);
  if (!/^\p{Lu}./u.test(word)) return [];
  return OPENERS.has(lower(word)) && /(?:^|[.!?:;]|\n)["“”'(\s]*$/.test(before) ? [] : keysOf(word);
}

/** What a word is compared by: its numbers, or itself as a code, an address or a name. */
function keysOf(word: string): readonly string[] {
  const isCode = word.includes("@") || !/\p{N}/u.test(word) || /\p{Lu}/u.test(word);
  return isCode
    ? [lower(word)]
    : (word.match(/\d+(?:[.,:/-]\d+)*/g) ?? []).map((digits) => digits.replace(/,(?=\d{3}\b)/g, ""));
}

const lower = (text: string): string => text.toLowerCase();

/** Where words, in small letters, stand in a text as such, or as a plural. */
function occurrences(text: string, words: string): readonly PlacedFact[] {
  const escaped = words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])${escaped}s?(?![\\p{L}\\p{N}])`, "gu");
  return [...lower(text).matchAll(pattern)].map(({ 0: said, index }) => ({
    fact: words,
    from: index,
    to: index + said.length,
  }));
}

/** What a sentence begins with without naming anybody. */
const OPENERS: ReadonlySet<string> = new Set(
  (
    "a an the this that these those he she it they we you his her its their our my your who which what when where why how " +
    "after all also although and another any as at because before both but by during each either every finally first " +
    "following for from here however if in instead later most neither no nobody none not nothing now of on once one " +
    "only or other since so some somebody someone soon still then there though to today two three under until upon was " +
    "were while with without yes yesterday tomorrow agent agents customer customers support client caller user staff everything everyone"
  ).split(" "),
);
