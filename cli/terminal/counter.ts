/**
 * How far work has come that has no loss to show: "Tokenizing 12,000 of 100,000 rows, 3 min left". Work that takes no longer
 * than two seconds shows nothing. On standard error: on a terminal one line that is written over, as wide as that, with a bar
 * where there is room; a line every five seconds otherwise.
 */
import process from "node:process";
import { isTerminal } from "../../platform/streams.ts";
import { note, showCount, showSeconds } from "./output.ts";

/** Counts to a total. */
export interface Counter {
  /** Says that so many are done. */
  at(done: number): void;
  /** Clears the line. */
  stop(): void;
}

/** Where a counter reads the time and writes; by default this process. */
export interface CounterSurroundings {
  /** Milliseconds. */
  now(): number;
  readonly isTerminal: boolean;
  /** Writes over the last chunk, on a terminal. */
  write(text: string): void;
  note(text: string): void;
  /** Columns of the terminal. */
  readonly width: number;
}

/** A counter of `total` units, such as "rows"; undefined where nobody knows how many there will be. */
export function counter(
  what: string,
  total: number | undefined,
  units: string,
  here: CounterSurroundings = ofProcess(),
): Counter {
  const started = here.now();
  let last = started + SILENT - (here.isTerminal ? OFTEN : SELDOM);
  let isShown = false;
  return {
    at: (done) => {
      const now = here.now();
      if (now - last < (here.isTerminal ? OFTEN : SELDOM)) return;
      last = now;
      const left = done === 0 || total === undefined
        ? ""
        : `, ${showSeconds((now - started) / 1000 / done * (total - done))} left`;
      const of = total === undefined ? "" : ` of ${showCount(total)}`;
      const text = `${what} ${showCount(done)}${of} ${units}${left}`;
      if (!here.isTerminal) return here.note(text);
      isShown = true;
      const room = here.width - 2 - text.length;
      const shown = total === undefined || room < 8 ? text : `${bar(done / total, room)} ${text}`;
      here.write(`\r\x1b[K${shown.slice(0, here.width - 1)}`);
    },
    stop: () => {
      if (isShown) here.write("\r\x1b[K");
    },
  };
}

/** Shows nothing. */
export const NOTHING: Counter = { at: () => {}, stop: () => {} };

/** A bar of so many columns, in the signs of the training's. */
function bar(share: number, columns: number): string {
  const full = Math.round(Math.min(1, share) * columns);
  return "█".repeat(full) + "░".repeat(columns - full);
}

/** Milliseconds: of work that shows nothing, and between two changes on a terminal and elsewhere. */
const [SILENT, OFTEN, SELDOM] = [2000, 200, 5000] as const;

function ofProcess(): CounterSurroundings {
  return {
    now: () => performance.now(),
    isTerminal: isTerminal(2),
    write: (text) => void process.stderr.write(text),
    note,
    width: process.stderr.columns ?? 80,
  };
}
