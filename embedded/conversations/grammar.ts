/**
 * The phrase grammar: a template is text with `{slot}` for a fact and `[a|b|]` for a choice, which may nest.
 * Each choice is determined by the key and its position in the template, so expansion is pure.
 *
 * `{slot}` is a fact as spoken, `{slot.s}` as worded in a summary, `{a:slot}` has "a" or "an" before it.
 */
import { bitsAt, fold, type Key } from "../../tensor/key.ts";
import { rangeError, syntaxError } from "../../errors/error.ts";

/** A fact: how it is said, and how a summary words it. */
export interface Fact {
  readonly said: string;
  readonly summed: string;
}

/** All facts of one conversation, by slot. */
export type Facts = Readonly<Record<string, Fact>>;

/** A text, and the slots whose facts it tells. */
export interface Phrase {
  readonly text: string;
  readonly slots: readonly string[];
}

/** An integer from 0 to n - 1. */
export function randomBelow(key: Key, n: number): number {
  return Math.floor(bitsAt(key, 0) / 2 ** 32 * n);
}

/** One of the items. */
export function pick<T>(key: Key, items: readonly T[]): T {
  return items[randomBelow(key, items.length)]!;
}

/** Whether an event of this probability happens. */
export function chance(key: Key, probability: number): boolean {
  return bitsAt(key, 0) / 2 ** 32 < probability;
}

/** The items in a random order. */
export function shuffle<T>(key: Key, items: readonly T[]): readonly T[] {
  return items.map((item, i) => ({ item, rank: bitsAt(key, i) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/**
 * Expands a template.
 *
 * @throws {SyntaxError} when a bracket is not closed.
 * @throws {RangeError} when a slot has no fact.
 */
export function expand(template: string, facts: Facts, key: Key): Phrase {
  const parts: string[] = [];
  const slots: string[] = [];
  let at = 0;
  while (at < template.length) {
    const open = template[at]!;
    if (open !== "[" && open !== "{") {
      const stop = nextBracket(template, at);
      parts.push(template.slice(at, stop));
      at = stop;
      continue;
    }
    const end = closing(template, at);
    const inside = template.slice(at + 1, end);
    if (open === "{") {
      const [name, text] = slotText(inside, facts, template);
      slots.push(name);
      parts.push(text);
    } else {
      const here = fold(key, at);
      const chosen = expand(pick(here, alternatives(inside)), facts, here);
      slots.push(...chosen.slots);
      parts.push(chosen.text);
    }
    at = end + 1;
  }
  return { text: parts.join(""), slots };
}

/** Cleans up after optional parts: double spaces, a space before a full stop, a lower-case first letter. */
export function tidy(text: string): string {
  return text.replace(/\s+/g, " ").replace(/ ([.,!?;])/g, "$1").replace(/([!?])\.(?!\.)/g, "$1").trim()
    .replace(/(^|[.!?] )([a-z])/g, (_, before: string, letter: string) => before + letter.toUpperCase());
}

function nextBracket(template: string, from: number): number {
  let at = from;
  while (at < template.length && template[at] !== "[" && template[at] !== "{") at++;
  return at;
}

function closing(template: string, from: number): number {
  let depth = 0;
  for (let i = from; i < template.length; i++) {
    const c = template[i];
    if (c === "[" || c === "{") depth++;
    else if ((c === "]" || c === "}") && --depth === 0) return i;
  }
  throw syntaxError("DATA_INVALID", `Cannot expand "${template}": the bracket at ${from} is not closed`);
}

function alternatives(inside: string): readonly string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < inside.length; i++) {
    const c = inside[i];
    if (c === "[" || c === "{") depth++;
    else if (c === "]" || c === "}") depth--;
    else if (c === "|" && depth === 0) {
      found.push(inside.slice(start, i));
      start = i + 1;
    }
  }
  return [...found, inside.slice(start)];
}

function slotText(inside: string, facts: Facts, template: string): readonly [string, string] {
  const article = inside.startsWith("a:");
  const summed = inside.endsWith(".s");
  const name = inside.slice(article ? 2 : 0, summed ? -2 : undefined);
  const fact = Object.hasOwn(facts, name) ? facts[name] : undefined;
  if (fact === undefined) {
    throw rangeError("DATA_INVALID", `Cannot expand "${template}": there is no fact "${name}"`);
  }
  const text = summed ? fact.summed : fact.said;
  return [name, article ? `${articleOf(text)} ${text}` : text];
}

function articleOf(noun: string): "a" | "an" {
  return /^[aeiou]/i.test(noun) && !/^(us|uni|eu|one)/i.test(noun) ? "an" : "a";
}
