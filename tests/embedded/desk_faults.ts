/** What is wrong with a desk's file: the checker sees its types, this its texts. */
import { drawFacts } from "../../embedded/conversations/common.ts";
import {
  type DeskData,
  deskOf,
  type FactData,
  type IntentData,
  SHARED,
  type Word,
} from "../../embedded/conversations/desk_data.ts";
import { key } from "../../tensor/key.ts";

/** The fields of each kind of record; those with a question mark may be absent. */
const FIELDS = {
  desk: ["about", "companies", "referenceNoun", "reference", "departments", "lists?", "intents"],
  intent: ["id", "facts", "openings", "questions", "outcomes", "problem"],
  question: ["ask", "answer"],
  outcome: ["turns", "deed"],
  span: ["from", "to"],
} as const;

const SPANS = ["count", "money", "days", "time"] as const;
const SOURCES: readonly string[] = ["among", "list", "code", ...SPANS];

/** Each fault of a desk, with where it is: those of its form, or else those of its texts. */
export function deskFaults(desk: DeskData): readonly string[] {
  const form = [...emptyFaults("desk", desk), ...fieldFaults("desk", desk, FIELDS.desk)];
  if (form.length > 0) return form;
  const { lists = {}, intents } = desk;
  const parts = intents.flatMap(formFaults);
  if (parts.length > 0) return parts;
  const facts = [
    ...factFaults("reference", desk.reference, desk),
    ...intents.flatMap(({ id, facts }) =>
      Object.entries(facts).flatMap(([slot, fact]) => factFaults(`${id}, ${slot}`, fact ?? {}, desk))
    ),
    ...Object.keys(lists).filter((name) => Object.hasOwn(SHARED, name)).map((name) =>
      `${name}: a shared list`
    ),
    ...Object.keys(lists).filter((name) => !listsOf(desk).includes(name)).map((name) =>
      `${name}: unused list`
    ),
  ];
  return facts.length > 0 ? facts : intents.flatMap((intent) => textFaults(desk, intent));
}

/** The names of the lists that a desk's facts are drawn from. */
export function listsOf({ reference, intents }: DeskData): readonly string[] {
  return [reference, ...intents.flatMap(({ facts }) => Object.values(facts))].flatMap(({ list } = {}) =>
    list ?? []
  );
}

/** Fields of an intent and of what it holds. */
function formFaults(intent: IntentData): readonly string[] {
  const { id, questions, outcomes } = intent;
  const own = fieldFaults(`${id}`, intent, FIELDS.intent);
  return own.length > 0 ? own : [
    ...questions.flatMap((question, i) => fieldFaults(`${id}, question ${i}`, question, FIELDS.question)),
    ...outcomes.flatMap((outcome, i) => fieldFaults(`${id}, outcome ${i}`, outcome, FIELDS.outcome)),
  ];
}

/** Texts that cannot be expanded, and facts that no text tells. */
function textFaults(
  desk: DeskData,
  { id, facts, openings, questions, outcomes, problem }: IntentData,
): readonly string[] {
  const texts = [
    ...openings,
    ...problem,
    ...questions.flatMap(({ ask, answer }) => [ask, answer]),
    ...outcomes.flatMap(({ turns, deed }) => [...turns, ...deed]),
  ];
  const made = deskOf(desk);
  const known = drawFacts(key(0), made, made.intents.find((intent) => intent.id === id)!);
  const used = new Set(texts.flatMap(slotsOf));
  return [
    ...texts.flatMap((text) => templateFaults(`${id}: "${text}"`, text)),
    ...[...used].filter((slot) => !Object.hasOwn(known, slot)).map((slot) => `${id}: no fact {${slot}}`),
    ...Object.keys(facts).filter((slot) => !used.has(slot)).map((slot) => `${id}: unused fact {${slot}}`),
  ];
}

/** A fact has one source, with something in it. */
function factFaults(where: string, fact: FactData, { lists = {} }: DeskData): readonly string[] {
  const kinds = Object.keys(fact);
  if (kinds.length !== 1 || !SOURCES.includes(kinds[0]!)) {
    return [`${where}: from ${kinds.join(" and ") || "nowhere"}`];
  }
  const { list, among = [] } = fact;
  return [
    ...SPANS.flatMap((kind) => {
      const span = fact[kind];
      if (span === undefined) return [];
      const fields = fieldFaults(where, span, FIELDS.span);
      const rising = Number.isInteger(span.from) && Number.isInteger(span.to) && span.from <= span.to;
      return rising ? fields : [...fields, `${where}: from ${span.from} to ${span.to}`];
    }),
    ...list === undefined || Object.hasOwn({ ...SHARED, ...lists }, list)
      ? []
      : [`${where}: no list ${list}`],
    ...twice(among).map((word) => `${where}: "${word}" twice`),
  ];
}

const twice = (words: readonly Word[]): readonly string[] =>
  words.map((word) => typeof word === "string" ? word : word.said).filter((word, i, all) =>
    all.indexOf(word) !== i
  );

/** Fields that are missing, or that nothing reads. */
function fieldFaults(where: string, record: object, fields: readonly string[]): readonly string[] {
  const known = fields.map((field) => field.replace("?", ""));
  return [
    ...Object.keys(record).filter((field) => !known.includes(field)).map((field) =>
      `${where}: odd field ${field}`
    ),
    ...fields.filter((field) => !field.endsWith("?") && !Object.hasOwn(record, field))
      .map((field) => `${where}: no field ${field}`),
  ];
}

/** Empty lists and records anywhere, texts without a word, and texts with spaces around them. */
function emptyFaults(where: string, value: unknown): readonly string[] {
  if (typeof value === "string") {
    return value === "" || value !== value.trim() ? [`${where}: the text "${value}"`] : [];
  }
  if (typeof value !== "object" || value === null) return [];
  const entries = Object.entries(value);
  if (entries.length === 0) return [`${where}: empty`];
  return entries.flatMap(([name, inner]) => emptyFaults(`${where}, ${name}`, inner));
}

const slotsOf = (text: string): readonly string[] =>
  [...text.matchAll(/\{(?:a:)?(.*?)(?:\.s)?\}/g)].map(([, slot]) => slot!);

/** Brackets that do not pair, choices of one thing or outside any bracket. */
function templateFaults(where: string, text: string): readonly string[] {
  const open: { readonly mark: string; choices: number }[] = [];
  for (const mark of text) {
    if (mark === "[" || mark === "{") open.push({ mark, choices: 1 });
    else if (mark === "|") {
      if (open.at(-1)?.mark !== "[") return [`${where}: a choice outside brackets`];
      open.at(-1)!.choices++;
    } else if (mark === "]" || mark === "}") {
      const last = open.pop();
      if (last?.mark !== (mark === "]" ? "[" : "{")) return [`${where}: "${mark}" closes nothing`];
      if (last.mark === "[" && last.choices === 1) return [`${where}: a choice of one`];
    }
  }
  return open.length > 0 ? [`${where}: "${open.at(-1)!.mark}" is not closed`] : [];
}
