/**
 * How varied the generated conversations are: `deno run -A embedded/duplicates.ts` draws 25,000, masks names,
 * numbers and dates, and counts distinct conversations and test conversations that nearly repeat a training
 * one.
 */
import { type Key, key } from "../tensor/key.ts";
import { DESKS } from "./conversations/desks/mod.ts";
import { conversation, intents } from "./conversations/mod.ts";
import { CITIES, FIRST_NAMES, LAST_NAMES, MONTHS, STREETS, WEEKDAYS } from "./conversations/lists.ts";

/** The counts of `measure`. */
export interface Variety {
  readonly drawn: number;
  readonly distinct: number;
  /** Test conversations whose masked 5-grams have a Jaccard index over 0.8 with some training conversation. */
  readonly nearDuplicates: number;
  readonly test: number;
  readonly intents: number;
  /** Conversations by number of turns. */
  readonly turns: ReadonlyMap<number, number>;
  readonly meanWords: number;
  readonly meanSummaryWords: number;
}

const NAMES = new Set([...CITIES, ...FIRST_NAMES, ...LAST_NAMES].map((name) => name.toLowerCase()));
const DATES = new Set([...MONTHS, ...WEEKDAYS].map((name) => name.toLowerCase()));
const COMPANIES = Object.values(DESKS).flatMap(({ companies }) => companies);
const LONG_NAME = new RegExp([...STREETS, ...COMPANIES].join("|"), "g");

/**
 * The words of a text with names, places, companies, codes, numbers and dates masked; case and punctuation
 * are ignored.
 */
export function masked(text: string): readonly string[] {
  return text.replace(LONG_NAME, "<name>").toLowerCase()
    .replace(/\S+@\S+/g, "<name>")
    .replace(/[^\s,;:!?$£]*\d(?:[\w:.-]*\w)?/g, "<number>")
    .split(/[^a-z<>']+/).filter((word) => word !== "")
    .map((word) => NAMES.has(word) ? "<name>" : DATES.has(word) ? "<date>" : word);
}

/** The set of n-grams of words, each as one string. */
export function grams(words: readonly string[], n: number): ReadonlySet<string> {
  return new Set(
    words.slice(0, Math.max(0, words.length - n + 1)).map((_, i) => words.slice(i, i + n).join(" ")),
  );
}

/**
 * How many of the sets `test` have a Jaccard index above the threshold with one of the sets `train`. Exact: an
 * inverted index counts shared members.
 */
export function nearDuplicates(
  train: readonly ReadonlySet<string>[],
  test: readonly ReadonlySet<string>[],
  threshold: number,
): number {
  const holders = new Map<string, number[]>();
  train.forEach((set, i) => {
    for (const gram of set) {
      const list = holders.get(gram);
      if (list === undefined) holders.set(gram, [i]);
      else list.push(i);
    }
  });
  return test.filter((set) => {
    const shared = new Map<number, number>();
    for (const gram of set) {
      for (const i of holders.get(gram) ?? []) shared.set(i, (shared.get(i) ?? 0) + 1);
    }
    return [...shared].some(([i, both]) => both / (set.size + train[i]!.size - both) > threshold);
  }).length;
}

/** Draws conversations 0 … drawn - 1, the last `test` of them as the test set, and counts. */
export function measure(base: Key, drawn: number, test: number): Variety {
  const all = Array.from({ length: drawn }, (_, i) => conversation(base, i));
  const words = all.map(({ dialogue }) => masked(dialogue));
  const sets = words.map((list) => grams(list, 5));
  const turns = new Map<number, number>();
  for (const { dialogue } of all) {
    const n = dialogue.split("\n").length;
    turns.set(n, (turns.get(n) ?? 0) + 1);
  }
  const mean = (texts: readonly string[]) =>
    texts.reduce((sum, text) => sum + text.split(/\s+/).length, 0) / drawn;
  return {
    drawn,
    distinct: new Set(words.map((list) => list.join(" "))).size,
    nearDuplicates: nearDuplicates(sets.slice(0, drawn - test), sets.slice(drawn - test), 0.8),
    test,
    intents: new Set(all.map(({ intent }) => intent)).size,
    turns: new Map([...turns].sort(([a], [b]) => a - b)),
    meanWords: mean(all.map(({ dialogue }) => dialogue)),
    meanSummaryWords: mean(all.map(({ summary }) => summary)),
  };
}

if (import.meta.main) {
  const variety = measure(key(0), 25_000, 2_000);
  const share = 100 * variety.nearDuplicates / variety.test;
  console.log(`conversations drawn             ${variety.drawn}`);
  console.log(`distinct after masking          ${variety.distinct}`);
  console.log(
    `test near-duplicates of train   ${variety.nearDuplicates} of ${variety.test} (${share.toFixed(2)} %)`,
  );
  console.log(`intents                         ${variety.intents} of ${intents().length}`);
  console.log(
    `turns                           ${[...variety.turns].map(([n, c]) => `${n}: ${c}`).join("  ")}`,
  );
  console.log(`mean words, dialogue            ${variety.meanWords.toFixed(1)}`);
  console.log(`mean words, summary             ${variety.meanSummaryWords.toFixed(1)}`);
}
