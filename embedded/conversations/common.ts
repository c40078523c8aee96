/** The facts common to all conversations, and drawing of all facts. */
import { fold, type Key } from "../../tensor/key.ts";
import type { Desk, Intent } from "./intent.ts";
import { type Fact, type Facts, pick } from "./grammar.ts";
import { CITIES, FIRST_NAMES, LAST_NAMES, MONTHS, STREETS, WEEKDAYS } from "./lists.ts";
import { among, code, count, type Source, time } from "./sources.ts";
import { rangeError } from "../../errors/error.ts";

const COMMON: Readonly<Record<string, Source>> = {
  first: among(FIRST_NAMES),
  last: among(LAST_NAMES),
  last2: among(LAST_NAMES),
  agent: among(FIRST_NAMES),
  agent2: among(FIRST_NAMES),
  postcode: code("#####", "@@# #@@", "####"),
  waited: count(12, 58),
  hold: count(2, 5),
  leave: time(8, 19),
  weekday: among(WEEKDAYS),
  closes: time(15, 20),
  month: among(MONTHS),
  digits: code("###"),
  town: among(CITIES),
  house: count(2, 180),
  branch: among(STREETS),
  percent: among(["5", "10", "15", "20"]),
  score: among(["4", "6", "7", "8", "9", "10"]),
};

/**
 * All facts of a conversation. No two slots have the same value, so a name or number in a text is
 * unambiguous.
 *
 * @throws {RangeError} when an intent redefines a fact that all conversations have.
 */
export function drawFacts(key: Key, desk: Desk, intent: Intent): Facts {
  const sources: Readonly<Record<string, Source>> = {
    ...COMMON,
    company: among(desk.companies),
    ref: desk.reference,
    badref: desk.reference,
    refnoun: among([desk.referenceNoun]),
    dept: among(desk.departments),
    ...intent.facts,
  };
  const clash = Object.keys(intent.facts).find((slot) => Object.hasOwn(COMMON, slot));
  if (clash !== undefined) {
    throw rangeError("DATA_INVALID", `Intent "${intent.id}" redefines the common fact "${clash}"`);
  }
  const facts: Record<string, Fact> = {};
  const taken = new Set<string>();
  for (const [slot, source] of Object.entries(sources)) {
    const base = fold(key, slot);
    let fact = source(base, key);
    for (let attempt = 1; taken.has(fact.said) && attempt < 8; attempt++) {
      fact = source(fold(base, attempt), key);
    }
    taken.add(fact.said);
    facts[slot] = fact;
  }
  const host = pick(fold(key, "host"), ["mailbox.com", "postal.net", "inbox.org", "webpost.com"]);
  const email = `${facts["first"]!.said}.${facts["last"]!.said}@${host}`.toLowerCase();
  return { ...facts, email: { said: email, summed: email } };
}
