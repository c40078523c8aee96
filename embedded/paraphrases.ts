/**
 * A balanced paraphrase task from the conversations' own grammar: two first messages of customers, and whether both want the
 * same. Every second pair is a paraphrase: one reason to call in two wordings. The others are two reasons to call one company.
 */
import { fold, type Key } from "../core/tensor/key.ts";
import { drawFacts } from "./conversations/common.ts";
import { DESKS } from "./conversations/desks/mod.ts";
import { expand, pick, shuffle, tidy } from "./conversations/grammar.ts";
import type { Desk, Intent } from "./conversations/intent.ts";

/** Two messages. */
export interface MessagePair {
  readonly first: string;
  readonly second: string;
  /** Whether they want the same. */
  readonly same: boolean;
}

/**
 * The pair of a key and index: paraphrases where the index is even.
 *
 * @param reasons Only these reasons to call, by id; default all. Fewer make the task easier.
 * @throws {RangeError} when no desk has two of the reasons.
 */
export function messagePair(key: Key, index: number, reasons?: readonly string[]): MessagePair {
  const base = fold(fold(key, "message pair"), index);
  const desks = DESKS.map((desk) =>
    [desk, desk.intents.filter((i) => reasons?.includes(i.id) ?? true)] as const
  )
    .filter(([, intents]) => intents.length > 1);
  if (desks.length === 0) {
    throw new RangeError(`Expected two reasons of one desk but found ${reasons?.join(", ")}`);
  }
  const [desk, intents] = pick(fold(base, "desk"), desks);
  const [reason, other] = shuffle(fold(base, "reasons"), intents) as [Intent, Intent];
  const same = index % 2 === 0;
  const first = message(fold(base, "first"), desk, reason);
  return { first, second: message(fold(base, "second"), desk, same ? reason : other), same };
}

function message(key: Key, desk: Desk, intent: Intent): string {
  const facts = drawFacts(fold(key, "facts"), desk, intent);
  return tidy(expand(pick(fold(key, "opening"), intent.openings), facts, key).text);
}
