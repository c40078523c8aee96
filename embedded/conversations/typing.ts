/**
 * How customers type: most with care, some without capitals or apostrophes. Names and codes are unchanged.
 */
import type { Key } from "../../tensor/key.ts";
import { type Facts, randomBelow } from "./grammar.ts";

/** A customer's way of typing. */
export type Typing = "careful" | "hasty" | "no apostrophes";

/** The customer's way of typing in one conversation. */
export function drawTyping(key: Key): Typing {
  const draw = randomBelow(key, 10);
  return draw < 7 ? "careful" : draw < 9 ? "hasty" : "no apostrophes";
}

/** An utterance as this customer types it. */
export function typed(text: string, typing: Typing, facts: Facts): string {
  if (typing === "careful") return text;
  const bare = text.replace(/'/g, "");
  if (typing === "no apostrophes") return bare;
  const names = new Set(Object.values(facts).flatMap(({ said }) => said.split(" ")));
  return bare.replace(/\b(?:[A-Z][a-z]+|I|A)\b/g, (word, at: number) => {
    const starts = at === 0 || /[.!?] $/.test(bare.slice(0, at));
    return word === "I" || (starts && !names.has(word)) ? word.toLowerCase() : word;
  }).replace(/\.$/, "");
}
