/**
 * Progress of a run: a bar with loss, speed and time left on a terminal, plain lines otherwise. On standard
 * error.
 */
import { Presets, SingleBar } from "cli-progress";
import process from "node:process";
import { type Counter, counter, NOTHING } from "./counter.ts";
import { note, showSeconds } from "./output.ts";
import { isTerminal } from "../../platform/streams.ts";

/** The displayed values of a step. */
export interface ProgressStep {
  readonly step: number;
  readonly loss: number;
  readonly tokensPerSecond: number;
}

/** Shows steps. */
export interface Progress {
  step(step: ProgressStep): void;
  /** Prints a message without breaking the bar. */
  say(text: string): void;
  /** Counts something else in the place of the bar, which comes back when that is stopped. */
  meanwhile(what: string, total: number, units: string): Counter;
  stop(): void;
}

/** Progress for a run of `total` steps of which `done` are already done. `quiet` shows only messages. */
export function progress(total: number, done: number, how: "auto" | "quiet" = "auto"): Progress {
  if (how === "quiet") return { step: () => {}, say: note, meanwhile: () => NOTHING, stop: () => {} };
  return isTerminal(2) ? bar(total, done) : lines(total, done);
}

/** The most columns that stand beside the bar: "123456/123456 steps · loss 12.3456 · 12345 tokens/s · 12 h 34 min left". */
const WORDS = 72;

function bar(total: number, done: number): Progress {
  const left = timeLeft(total, done);
  const shown = new SingleBar({
    format: "{bar} {value}/{total} steps · loss {loss} · {speed} tokens/s · {left} left",
    stream: process.stderr,
    hideCursor: true,
    gracefulExit: false, // the run handles Ctrl-C
    clearOnComplete: true, // a message, and the end, leave no copy of it
    barsize: Math.max(8, Math.min(60, (process.stderr.columns ?? 80) - WORDS)),
  }, Presets.shades_classic);
  let at = done;
  let words = { loss: "–", speed: "–", left: "–" };
  shown.start(total, at, words);
  return {
    step: ({ step, loss, tokensPerSecond }) => {
      at = step;
      words = { loss: loss.toFixed(4), speed: tokensPerSecond.toFixed(0), left: showSeconds(left(step)) };
      shown.update(at, words);
    },
    say: (text) => {
      shown.stop();
      note(text);
      shown.start(total, at, words);
    },
    meanwhile: (what, rows, units) => {
      shown.stop();
      const own = counter(what, rows, units);
      return {
        at: own.at,
        stop: () => {
          own.stop();
          shown.start(total, at, words);
        },
      };
    },
    stop: () => shown.stop(),
  };
}

/** A line for the first step, the last one and about every five seconds between. */
function lines(total: number, done: number): Progress {
  const left = timeLeft(total, done);
  let said = -Infinity;
  return {
    step: ({ step, loss, tokensPerSecond }) => {
      const now = performance.now();
      if (step !== total && now - said < 5000) return;
      said = now;
      note(
        `step ${step}/${total} · loss ${loss.toFixed(4)} · ${tokensPerSecond.toFixed(0)} tokens/s · ${
          showSeconds(left(step))
        } left`,
      );
    },
    say: note,
    meanwhile: counter,
    stop: () => {},
  };
}

/** Seconds left, from the mean time of this session's steps. */
function timeLeft(total: number, done: number): (step: number) => number {
  const start = performance.now();
  return (step) => step === done ? 0 : (performance.now() - start) / 1000 / (step - done) * (total - step);
}
