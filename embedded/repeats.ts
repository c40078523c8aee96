/** Rows of random tokens that come again: whatever predicts them copies, since nothing else tells the next one. */
import { fold, type Key } from "../tensor/key.ts";
import { chance, randomBelow } from "./conversations/grammar.ts";

/** Tokens, and which of them are to be predicted: -100 elsewhere. */
export interface LabelledTokens {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}

/** Which tokens may be drawn. */
export interface Range {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** A string of random tokens several times, or pieces of it again in another order. */
export function repeats(key: Key, range: Range, length: number): LabelledTokens {
  return chance(fold(key, "whole"), 0.5) ? wholeAgain(key, range, length) : piecesAgain(key, range, length);
}

function wholeAgain(key: Key, range: Range, length: number): LabelledTokens {
  const string = drawn(key, range, 4 + randomBelow(fold(key, "length"), Math.floor(length / 2) - 4));
  const times = Math.max(2, Math.min(4, Math.floor(length / string.length)));
  const inputIds = Array.from({ length: times }, () => string).flat().slice(0, length);
  return { inputIds, labels: inputIds.map((token, i) => i <= string.length ? -100 : token) };
}

/** The first token of a piece cannot be known, and is no target. */
function piecesAgain(key: Key, range: Range, length: number): LabelledTokens {
  const string = drawn(key, range, 16 + randomBelow(fold(key, "length"), Math.floor(length / 2) - 16));
  const pieces = Array.from({ length: Math.ceil(length / 8) }, (_, i) => {
    const own = fold(fold(key, "piece"), i);
    const from = randomBelow(fold(own, "from"), string.length - 3);
    return string.slice(from, from + 3 + randomBelow(fold(own, "length"), 17));
  });
  return {
    inputIds: [string, ...pieces].flat().slice(0, length),
    labels: [string.map(() => -100), ...pieces.map(([, ...rest]) => [-100, ...rest])].flat().slice(0, length),
  };
}

function drawn(key: Key, { from, to }: Range, many: number): readonly number[] {
  return Array.from({ length: many }, (_, i) => from + randomBelow(fold(fold(key, "token"), i), to - from));
}
