/**
 * The pretraining data of the embedded model: conversations without their summaries, and short paragraphs
 * about everyday life. Both show the language, the names and the numbers; neither shows the summarising task.
 */
import { fold, type Key } from "../tensor/key.ts";
import { conversation } from "./conversations/mod.ts";
import { chance, expand, type Facts, pick, shuffle, tidy } from "./conversations/grammar.ts";
import { CITIES, FIRST_NAMES, LAST_NAMES, PRODUCTS, STREETS, WEEKDAYS } from "./conversations/lists.ts";
import { among, count, days, money, type Source, time } from "./conversations/sources.ts";

/** Share of texts that are paragraphs. */
const PARAGRAPHS = 0.25;

const SOURCES: Readonly<Record<string, Source>> = {
  first: among(FIRST_NAMES),
  last: among(LAST_NAMES),
  friend: among(FIRST_NAMES),
  city: among(CITIES),
  town: among(CITIES),
  street: among(STREETS),
  day: among(WEEKDAYS),
  item: among(PRODUCTS),
  thing: among(PRODUCTS),
  price: money(8, 400),
  date: days(1, 60),
  later: days(61, 90),
  at: time(7, 21),
  n: count(2, 90),
  job: among([
    "teacher",
    "nurse",
    "carpenter",
    "student",
    "bus driver",
    "cook",
    "painter",
    "clerk",
    "engineer",
    "baker",
    "gardener",
    "doctor",
    "translator",
    "waiter",
    "farmer",
  ]),
};

const OPENINGS: readonly string[] = [
  "{first} {last} [is|works as] {a:job} [in|from] {city}[ and lives in {street}|].",
  "{first} [moved|came] from {town} to {city} [on {date}|last year|{n} years ago].",
  "[On {day}|Early on {day}|On {date}], {first} [went to|visited|left for] {city}[ with {friend}|].",
  "{first} and {friend} [run|own|opened] a small shop in {street}[, {city}|].",
  "The [market|library|museum|station] in {city} opens at {at}[ on {day}|].",
  "There [is|was] a [new|small|famous] [shop|bakery|garage|school] in {street} that [everyone|half of {city}] knows.",
];

const MIDDLES: readonly string[] = [
  "{first} bought {a:item} for {price} and [likes it very much|gave it to {friend}|sold it a week later].",
  "The {item} [cost|was sold for] {price}, [which was cheap|a fair price|more than {friend} expected].",
  "{friend} [wanted|was looking for] {a:thing}, but [there was none|it was too expensive|the shop was closed].",
  "It [takes|took] {n} minutes to [get there|walk there|drive there][, unless it rains|].",
  "[At {at}|In the evening|After lunch], {friend} [called|wrote|came by] and asked [for help|about the {item}|for the way].",
  "{first} [asks|asked] whether the {thing} [could be repaired|was still for sale], and {friend} [says|said] yes.",
  "[Most people|Some neighbours|All guests] [pay|paid] {price} and [stay|stayed] until {at}.",
  "{friend} [explains|explained] how the {item} works and [offers|offered] to help.",
  "[The weather|The food|The view] was [good|fine|better than on {day}], so they [stayed|waited] until {later}.",
  "The [bill|ticket|repair|trip] [comes|came] to {price}[ and is paid by card|].",
];

const ENDINGS: readonly string[] = [
  "[They meet|They will meet|The next visit is] on {later}.",
  "[In the end|Finally], everyone was [happy|tired but happy|back home by {at}].",
  "{first} [promises|promised] to [come back|write|call] on {later}.",
  "Since then, nobody [has seen|has asked for] the {thing}.",
  "It was {at} when {friend} [left|closed the door|said goodbye].",
];

/** A paragraph of three to five sentences. */
export function paragraph(key: Key): string {
  const facts: Facts = Object.fromEntries(
    Object.entries(SOURCES).map(([slot, source]) => [slot, source(fold(key, slot), key)]),
  );
  const middles = shuffle(fold(key, "middles"), MIDDLES).slice(0, pick(fold(key, "how many"), [1, 2, 3]));
  return [pick(fold(key, "opening"), OPENINGS), ...middles, pick(fold(key, "ending"), ENDINGS)]
    .map((template, i) => tidy(expand(template, facts, fold(key, i)).text))
    .join(" ");
}

/** The text for a key and index: a dialogue, or in one of four cases a paragraph. */
export function pretrainingText(key: Key, index: number): string {
  const base = fold(fold(key, "pretraining"), index);
  return chance(fold(base, "paragraph"), PARAGRAPHS)
    ? paragraph(base)
    : conversation(fold(key, "pretraining"), index).dialogue;
}

/** The texts from one index to another, exclusive. */
export function* corpus(key: Key, from: number, to: number): Generator<string, void> {
  for (let index = from; index < to; index++) yield pretrainingText(key, index);
}
