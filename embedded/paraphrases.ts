/**
 * A balanced task of two texts from the conversations' own grammar: first messages of two customers, and
 * whether both have the same request: half of the pairs are two wordings of one request, with different
 * facts, the others two different requests to the same kind of company.
 */
import { fold, type Key } from "../tensor/key.ts";
import { drawFacts } from "./conversations/common.ts";
import { DESKS } from "./conversations/desks/mod.ts";
import { expand, pick, shuffle, tidy } from "./conversations/grammar.ts";
import type { Desk, Intent } from "./conversations/intent.ts";
import { rangeError } from "../errors/error.ts";

/** Two messages. */
export interface MessagePair {
  readonly first: string;
  readonly second: string;
  /** Whether they have the same request. */
  readonly same: boolean;
}

/**
 * Two messages to the same kind of company, with the same request if the index is even.
 *
 * @param reasons Only these requests, by id; default all. Fewer make the task easier.
 * @throws {RangeError} when no desk has two of the requests.
 */
export function requestPair(key: Key, index: number, reasons?: readonly string[]): MessagePair {
  const base = fold(fold(key, "request pair"), index);
  const desks = Object.values(DESKS).map((desk) =>
    [desk, desk.intents.filter(({ id }) => reasons === undefined || reasons.includes(id))] as const
  ).filter(([, intents]) => intents.length > 1);
  if (desks.length === 0) {
    throw rangeError(
      "DATA_INVALID",
      `Expected at least two requests of one desk but found ${reasons?.join(", ")}`,
    );
  }
  const [desk, intents] = pick(fold(base, "desk"), desks);
  const [one, other] = shuffle(fold(base, "reasons"), intents) as [Intent, Intent];
  const same = index % 2 === 0;
  return pairOf(base, [desk, one], [desk, same ? one : other], same);
}

type Request = readonly [Desk, Intent];

function pairOf(key: Key, first: Request, second: Request, same: boolean): MessagePair {
  return { first: message(fold(key, "first"), first), second: message(fold(key, "second"), second), same };
}

function message(key: Key, [desk, intent]: Request): string {
  const facts = drawFacts(fold(key, "facts"), desk, intent);
  return tidy(expand(pick(fold(key, "opening"), intent.openings), facts, key).text);
}
