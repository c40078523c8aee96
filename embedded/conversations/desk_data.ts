/**
 * Desks as JSON, one file each in `desks/`: texts are templates (see grammar.ts), and each fact says where it comes from. This
 * file has the schema, as types that the checker holds the files to, and makes desks of them.
 *
 *     {
 *       "about": "A shop: returns, …",
 *       "companies": ["…"],
 *       "referenceNoun": "order number",
 *       "reference": { "code": ["####-##"] },
 *       "departments": ["…"],
 *       "lists": { "gift": ["book", { "said": "a huge teddy", "summed": "a toy" }] },
 *       "intents": [{
 *         "id": "return",
 *         "facts": { "item": { "list": "gift" }, "fee": { "money": { "from": 4, "to": 9 } } },
 *         "openings": ["I'd like to return {a:item}."],
 *         "questions": [{ "ask": "Is it [new|unused]?", "answer": "Yes." }],
 *         "outcomes": [{ "turns": ["That costs {fee}."], "deed": ["asks for {fee}"] }],
 *         "problem": ["wants to return {a:item.s}"]
 *       }]
 *     }
 */
import type { Desk, Intent } from "./intent.ts";
import { CITIES, CLOTHES, DEVICES, LAST_NAMES, PRODUCTS, RAIL_CITIES, STREETS } from "./lists.ts";
import { among, code, count, days, money, type Source, time } from "./sources.ts";
import { rangeError } from "../../errors/error.ts";

/** A word: the same in dialogue and summary, or how it is said and how a summary words it. */
export type Word = string | { readonly said: string; readonly summed: string };

/** Whole numbers, both ends included. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Where a fact comes from: one of these. */
export interface FactData {
  /** One of these words. */
  readonly among?: readonly Word[];
  /** One of a list's words: one of the desk's own, or of those that all desks share. */
  readonly list?: string;
  /** A reference by one of these patterns: `#` a digit, `@` a capital letter. */
  readonly code?: readonly string[];
  /** A whole number. */
  readonly count?: Span;
  /** An amount in the conversation's currency. */
  readonly money?: Span;
  /** A date, in days from today. */
  readonly days?: Span;
  /** A time of day, in hours. */
  readonly time?: Span;
}

/** An intent as its desk's file has it: see `Intent`. */
export interface IntentData extends Omit<Intent, "facts"> {
  /** The facts by the names of their slots. The compiler gives each intent of a file the slots of all, undefined. */
  readonly facts: Readonly<Record<string, FactData | undefined>>;
}

/** A desk's file: see `Desk`. */
export interface DeskData extends Omit<Desk, "reference" | "intents"> {
  /** What kind of company it is, and what people want of it. */
  readonly about: string;
  readonly reference: FactData;
  /** Words that several facts are drawn from. */
  readonly lists?: Readonly<Record<string, readonly Word[]>>;
  readonly intents: readonly IntentData[];
}

/** The lists that every desk may draw from. */
export const SHARED: Readonly<Record<string, readonly Word[]>> = {
  cities: CITIES,
  clothes: CLOTHES,
  devices: DEVICES,
  lastNames: LAST_NAMES,
  products: PRODUCTS,
  railCities: RAIL_CITIES,
  streets: STREETS,
};

/** A desk of its file's data. @throws {RangeError} when a fact comes from nowhere, or from a list that is not there. */
export function deskOf({ about: _, lists = {}, ...desk }: DeskData): Desk {
  const known = { ...SHARED, ...lists };
  return {
    ...desk,
    reference: sourceOf("reference", desk.reference, known),
    intents: desk.intents.map((intent) => ({
      ...intent,
      facts: Object.fromEntries(
        Object.entries(intent.facts).map(([slot, fact]) => [
          slot,
          sourceOf(`${intent.id}, ${slot}`, fact ?? {}, known),
        ]),
      ),
    })),
  };
}

function sourceOf(where: string, fact: FactData, lists: Readonly<Record<string, readonly Word[]>>): Source {
  if (fact.among !== undefined) return oneOf(fact.among);
  if (fact.code !== undefined) return code(...fact.code);
  if (fact.count !== undefined) return count(fact.count.from, fact.count.to);
  if (fact.money !== undefined) return money(fact.money.from, fact.money.to);
  if (fact.days !== undefined) return days(fact.days.from, fact.days.to);
  if (fact.time !== undefined) return time(fact.time.from, fact.time.to);
  const words = fact.list === undefined ? undefined : lists[fact.list];
  if (words !== undefined) return oneOf(words);
  throw rangeError(
    "DATA_INVALID",
    `Expected a fact of "${where}" to have a known source but found ${JSON.stringify(fact)}`,
  );
}

const oneOf = (words: readonly Word[]): Source =>
  among(words.map((word) => typeof word === "string" ? word : [word.said, word.summed] as const));
