/**
 * Seeded conversations: greeting, problem, identification, questions, obstacles, outcome, second question,
 * farewell, each drawn from the key; a draft of the wrong length is redrawn.
 */
import { fold, type Key } from "../../tensor/key.ts";
import { drawFacts } from "./common.ts";
import { type DeskName, DESKS } from "./desks/mod.ts";
import { IDENTITY, OBSTACLES, SIDE_QUESTIONS } from "./detours.ts";
import { chance, expand, type Facts, pick, randomBelow, shuffle, tidy } from "./grammar.ts";
import type { Desk, Intent } from "./intent.ts";
import {
  AGENT_GREETINGS,
  ANNOYED,
  BEFORE_OUTCOME,
  BEFORE_QUESTION,
  CALMING,
  CUSTOMER_GREETINGS,
  FAREWELLS,
  GOODBYES,
  THANKS,
  type Turn,
} from "./moves.ts";
import { mentions, summarize } from "./summary.ts";
import { drawTyping, typed } from "./typing.ts";
import { rangeError } from "../../errors/error.ts";

/** One conversation with its summary. */
export interface Conversation {
  /** The intent and the index: "warranty-17". */
  readonly id: string;
  readonly intent: string;
  /** Lines "Customer: …" and "Agent: …". */
  readonly dialogue: string;
  readonly summary: string;
  /** The facts that the dialogue tells, by slot, as it says them. */
  readonly facts: Readonly<Record<string, string>>;
  /** Lines that tell some of the same facts again, as a dialogue of other words. */
  readonly again: readonly string[];
}

/** Minimum and maximum numbers of lines and words of a dialogue. */
export const LIMITS = { turns: [3, 12], words: [60, 220] } as const;

function intentsOf(desks: readonly Desk[]): readonly (readonly [Desk, Intent])[] {
  return desks.flatMap((desk) => desk.intents.map((intent) => [desk, intent] as const));
}

const ALL = intentsOf(Object.values(DESKS));

/** The names of all intents. */
export function intents(): readonly string[] {
  return ALL.map(([, intent]) => intent.id);
}

/**
 * The conversation for a key and index: deterministic, and independent for different ones.
 *
 * @param key The key of the series: the same for training and test, which differ by index.
 * @param index An integer of at least 0.
 * @param desk Of one kind of company; default of any.
 * @throws {RangeError} when a hundred drafts had the wrong length, which does not happen with the texts here.
 */
export function conversation(key: Key, index: number, desk?: DeskName): Conversation {
  const base = fold(fold(key, "conversation"), index);
  const [company, intent] = pick(
    fold(base, "intent"),
    desk === undefined ? ALL : intentsOf([DESKS[desk]]),
  );
  for (let attempt = 0; attempt < 100; attempt++) {
    const draft = draw(fold(base, attempt), company, intent);
    if (draft !== undefined) return { id: `${intent.id}-${index}`, intent: intent.id, ...draft };
  }
  throw rangeError(
    "DATA_INVALID",
    `Cannot draw conversation ${index}: every draft of "${intent.id}" has a wrong length`,
  );
}

function draw(
  key: Key,
  desk: Desk,
  intent: Intent,
): Omit<Conversation, "id" | "intent"> | undefined {
  const facts = drawFacts(fold(key, "facts"), desk, intent);
  const outcome = pick(fold(key, "outcome"), intent.outcomes);
  const annoyed = chance(fold(key, "annoyed"), 0.15);
  const identity = chance(fold(key, "identity"), 0.6) ? [pick(fold(key, "which identity"), IDENTITY)] : [];
  const obstacles = shuffle(fold(key, "obstacles"), OBSTACLES)
    .slice(0, [0, 0, 0, 1, 1, 2][randomBelow(fold(key, "how many obstacles"), 6)]);
  const side = chance(fold(key, "side"), 0.22) ? [pick(fold(key, "which side"), SIDE_QUESTIONS)] : [];
  const questions = shuffle(fold(key, "questions"), intent.questions)
    .slice(0, [0, 1, 1, 2, 2][randomBelow(fold(key, "how many questions"), 5)]);

  const asked = questions.map(({ ask, answer }, i): readonly Turn[] => [
    { by: "Agent", says: `${pick(fold(fold(key, "before question"), i), BEFORE_QUESTION)} ${ask}` },
    { by: "Customer", says: answer },
  ]);
  const middle = shuffle(fold(key, "middle"), [
    ...identity.map(({ turns }) => turns),
    ...asked,
    ...obstacles.map(({ turns }) => turns),
  ]);
  const turns = joinTurns([
    ...start(key, intent, annoyed),
    ...middle.flat(),
    ...ending(key, outcome.turns),
    ...side.flatMap((detour) => detour.turns),
    ...finish(key),
  ]);

  const [fewest, most] = LIMITS.turns;
  if (turns.length < fewest || turns.length > most) return undefined;
  const typing = drawTyping(fold(key, "typing"));
  const told = new Set<string>();
  const lines = turns.map(({ by, says }, i) => {
    const { text, slots } = expand(says, facts, fold(fold(key, "turn"), i));
    for (const slot of slots) told.add(slot);
    const neat = tidy(text);
    return `${by}: ${by === "Customer" ? typed(neat, typing, facts) : neat}`;
  });
  const words = lines.reduce((sum, line) => sum + line.split(" ").length - 1, 0);
  if (words < LIMITS.words[0] || words > LIMITS.words[1]) return undefined;

  const noted = [...side, ...identity, ...obstacles]
    .filter(({ id, note }) => note.length > 0 && mentions(fold(fold(key, "mentions"), id)));
  const material = {
    problem: intent.problem,
    deed: outcome.deed,
    notes: noted.map(({ note }) => note),
    annoyed,
    handedOver: obstacles.some(({ id }) => id === "wrong department"),
  };
  const summary = summarize(material, facts, told, fold(key, "summary"));
  if (summary === undefined) return undefined;
  const dialogue = lines.join("\n");
  const said = saidIn(dialogue, told, facts);
  const anew = fold(key, "again");
  const retold = joinTurns([...start(anew, intent, false), ...middle.flat(), ...ending(anew, outcome.turns)]);
  return { dialogue, summary: tidy(summary), facts: said, again: retell(anew, retold, facts, said) };
}

/** The facts of slots as said, where they stand in the dialogue as they are: typing may change a letter. */
function saidIn(dialogue: string, told: ReadonlySet<string>, facts: Facts): Conversation["facts"] {
  return Object.fromEntries(
    [...told].map((slot) => [slot, facts[slot]!.said] as const).filter(([, said]) => dialogue.includes(said)),
  );
}

/** Of the turns in another expansion, those that tell facts, and only facts that were said. */
function retell(
  key: Key,
  turns: readonly Turn[],
  facts: Facts,
  said: Conversation["facts"],
): readonly string[] {
  return turns.map(({ by, says }, i) => ({ by, ...expand(says, facts, fold(fold(key, "turn"), i)) }))
    .filter(({ slots }) => slots.length > 0 && slots.every((slot) => Object.hasOwn(said, slot)))
    .map(({ by, text }) => `${by}: ${tidy(text)}`);
}

/** Greetings and the problem, in one of three orders. */
function start(key: Key, intent: Intent, annoyed: boolean): readonly Turn[] {
  const greeting = pick(fold(key, "customer greeting"), CUSTOMER_GREETINGS);
  const anger = annoyed ? pick(fold(key, "anger"), ANNOYED) : "";
  const opening = pick(fold(key, "opening"), intent.openings);
  const hello: Turn = { by: "Agent", says: pick(fold(key, "agent greeting"), AGENT_GREETINGS) };
  const calm: readonly Turn[] = annoyed && chance(fold(key, "calm"), 0.8)
    ? [{ by: "Agent", says: pick(fold(key, "calming"), CALMING) }]
    : [];
  switch (randomBelow(fold(key, "start"), 5)) {
    case 0:
    case 1:
      return [{ by: "Customer", says: `${greeting} ${anger} ${opening}` }, ...calm];
    case 2:
      return [
        { by: "Customer", says: "[Hello|Hi|Hello, is anyone there|Good morning|Hi, is this {company}]?" },
        hello,
        { by: "Customer", says: `${anger} ${opening}` },
        ...calm,
      ];
    default:
      return [hello, { by: "Customer", says: `${greeting} ${anger} ${opening}` }, ...calm];
  }
}

/** The outcome's turns, which begin with the agent, and the customer's word on them. */
function ending(key: Key, turns: readonly string[]): readonly Turn[] {
  const before = pick(fold(key, "before outcome"), BEFORE_OUTCOME);
  const spoken = turns.map((says, i): Turn => ({
    by: i % 2 === 0 ? "Agent" : "Customer",
    says: i === 0 ? `${before} ${says}` : says,
  }));
  return turns.length % 2 === 1
    ? [...spoken, { by: "Customer", says: pick(fold(key, "thanks"), THANKS) }]
    : spoken;
}

function finish(key: Key): readonly Turn[] {
  const farewell: Turn = { by: "Agent", says: pick(fold(key, "farewell"), FAREWELLS) };
  switch (randomBelow(fold(key, "finish"), 4)) {
    case 0:
      return [];
    case 1:
      return [farewell, { by: "Customer", says: pick(fold(key, "goodbye"), GOODBYES) }];
    default:
      return [farewell];
  }
}

/** Turns of one speaker in a row become one. */
function joinTurns(turns: readonly Turn[]): readonly Turn[] {
  return turns.reduce<readonly Turn[]>((joined, turn) => {
    const last = joined.at(-1);
    return last?.by === turn.by
      ? [...joined.slice(0, -1), { by: turn.by, says: `${last.says} ${turn.says}` }]
      : [...joined, turn];
  }, []);
}
