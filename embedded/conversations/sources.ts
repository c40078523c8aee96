/**
 * Sources of facts. A source is a function of two keys, that of its slot and that of the conversation, so
 * that facts that must agree (the currency, today's date, the way dates are written) are the same wherever
 * they appear.
 */
import { bitsAt, fold, type Key } from "../../tensor/key.ts";
import { chance, type Fact, pick, randomBelow } from "./grammar.ts";
import { MONTHS } from "./lists.ts";

/** Draws a fact. */
export type Source = (slot: Key, conversation: Key) => Fact;

const plain = (said: string): Fact => ({ said, summed: said });

/** One of the words; a pair is the spoken form and the form in a summary. */
export function among(items: readonly (string | readonly [string, string])[]): Source {
  return (slot) => {
    const item = pick(slot, items);
    return typeof item === "string" ? plain(item) : { said: item[0], summed: item[1] };
  };
}

/** An amount of money from low to high, in the conversation's currency; below 100 sometimes with cents. */
export function money(low: number, high: number): Source {
  return (slot, conversation) => {
    const whole = low + randomBelow(slot, high - low + 1);
    const cents = whole < 100 && chance(fold(slot, "cents"), 0.4)
      ? "." + pick(fold(slot, "which"), ["99", "50", "95", "20", "75", "40", "15"])
      : "";
    const number = `${whole}${cents}`;
    switch (randomBelow(fold(conversation, "currency"), 5)) {
      case 0:
        return plain(`£${number}`);
      case 1:
        return plain(`${number} euros`);
      default:
        return plain(`$${number}`);
    }
  };
}

/** An integer from low to high. */
export function count(low: number, high: number): Source {
  return (slot) => plain(String(low + randomBelow(slot, high - low + 1)));
}

/** A reference by pattern: `#` a digit (the first is never 0), `@` a capital letter, the rest as written. */
export function code(...patterns: readonly string[]): Source {
  const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ";
  return (slot) => {
    const pattern = pick(slot, patterns);
    const first = pattern.indexOf("#");
    return plain(
      [...pattern].map((c, i) => {
        const bits = bitsAt(slot, i + 1) % 9973;
        if (c === "@") return letters[bits % letters.length]!;
        if (c === "#") return String(i === first ? 1 + bits % 9 : bits % 10);
        return c;
      }).join(""),
    );
  };
}

const LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** The day of a year without a leap day, counted from 0 and wrapped, as a date. */
function dateOf(day: number, style: number): string {
  let rest = ((day % 365) + 365) % 365;
  let month = 0;
  while (rest >= LENGTHS[month]!) rest -= LENGTHS[month++]!;
  const name = MONTHS[month]!;
  return style === 0 ? `${rest + 1} ${name}` : `${name} ${rest + 1}`;
}

/** A date a number of days from today: negative for the past. */
export function days(low: number, high: number): Source {
  return (slot, conversation) => {
    const today = randomBelow(fold(conversation, "today"), 365);
    const style = randomBelow(fold(conversation, "date style"), 3);
    return plain(dateOf(today + low + randomBelow(slot, high - low + 1), style));
  };
}

/** A time of day between two hours. */
export function time(from: number, to: number): Source {
  return (slot, conversation) => {
    const hour = from + randomBelow(slot, to - from + 1);
    const minutes = pick(fold(slot, "minutes"), ["00", "00", "30", "15", "45"]);
    if (chance(fold(conversation, "clock"), 0.5)) return plain(`${hour}:${minutes}`);
    const short = `${(hour + 11) % 12 + 1}${minutes === "00" ? "" : `:${minutes}`}`;
    return plain(`${short} ${hour < 12 ? "am" : "pm"}`);
  };
}
