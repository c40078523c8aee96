/**
 * A paraphrase task from the conversations' own grammar: the first message of a customer, others of the same company's
 * customers, and which of them want the same. Half do, each with facts and a wording of its own.
 */
import { fold, type Key } from "../core/tensor/key.ts";
import { drawFacts } from "./conversations/common.ts";
import { DESKS } from "./conversations/desks/mod.ts";
import { chance, expand, pick, shuffle, tidy } from "./conversations/grammar.ts";
import type { Desk, Intent } from "./conversations/intent.ts";

/** A message, and some to compare with it. */
export interface MessageGroup {
  readonly first: string;
  readonly others: readonly { readonly says: string; readonly same: boolean }[];
}

/**
 * The group of a key and index. Whether a message wants the same as the first is drawn for each by itself, so that no answer
 * follows from the others.
 *
 * @param size Messages besides the first.
 * @param reasons Only these reasons to call, by id; default all. Fewer make the task easier.
 * @throws {RangeError} when no desk has two of the reasons.
 */
export function messageGroup(
  key: Key,
  index: number,
  size: number,
  reasons?: readonly string[],
): MessageGroup {
  const base = fold(fold(key, "message group"), index);
  const desks = DESKS.map((desk) =>
    [desk, desk.intents.filter(({ id }) => reasons === undefined || reasons.includes(id))] as const
  ).filter(([, intents]) => intents.length > 1);
  if (desks.length === 0) {
    throw new RangeError(`Expected at least two reasons of one desk but found ${reasons?.join(", ")}`);
  }
  const [desk, intents] = pick(fold(base, "desk"), desks);
  const [asked, ...rest] = shuffle(fold(base, "reasons"), intents) as [Intent, ...Intent[]];
  return {
    first: message(fold(base, "first"), desk, asked),
    others: Array.from({ length: size }, (_, i) => {
      const own = fold(fold(base, "other"), i);
      const same = chance(fold(own, "same"), 0.5);
      return { says: message(own, desk, same ? asked : pick(fold(own, "reason"), rest)), same };
    }),
  };
}

function message(key: Key, desk: Desk, intent: Intent): string {
  const facts = drawFacts(fold(key, "facts"), desk, intent);
  return tidy(expand(pick(fold(key, "opening"), intent.openings), facts, key).text);
}
