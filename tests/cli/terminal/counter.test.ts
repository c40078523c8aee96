/** The counter of work without a loss: silent while it is short, then a line every so often. */
import assert from "node:assert/strict";
import { counter } from "../../../cli/terminal/counter.ts";

/** Counts 100 units, each of which takes so many milliseconds. */
function counted(milliseconds: number, isTerminal: boolean, width = 30) {
  let time = 1000;
  const [written, noted]: [string[], string[]] = [[], []];
  const shown = counter("Tokenizing", 100, "rows", {
    now: () => time,
    isTerminal,
    write: (text) => void written.push(text),
    note: (text) => void noted.push(text),
    width,
  });
  for (let done = 1; done <= 100; done++) {
    time += milliseconds;
    shown.at(done);
  }
  shown.stop();
  return { written, noted };
}

Deno.test("counter() shows nothing of work that takes less than two seconds", () => {
  for (const isTerminal of [true, false]) {
    assert.deepEqual(counted(19, isTerminal), { written: [], noted: [] });
  }
});

Deno.test("counter() writes over one line on a terminal, no longer than that, and clears it", () => {
  const { written, noted } = counted(100, true);
  assert.deepEqual(noted, []);
  assert.equal(written[0], "\r\x1b[KTokenizing 20 of 100 rows, 8 ");
  assert.equal(written.length, (100 - 20) / 2 + 1 + 1);
  assert.equal(written.at(-1), "\r\x1b[K");
});

Deno.test("counter() prints a line every five seconds elsewhere", () => {
  const { written, noted } = counted(120, false);
  assert.deepEqual(written, []);
  assert.deepEqual(noted, [
    "Tokenizing 17 of 100 rows, 10 s left",
    "Tokenizing 59 of 100 rows, 5 s left",
  ]);
});

Deno.test("counter() fills the rest of the terminal's line with a bar", () => {
  const { written } = counted(100, true, 60);
  assert.equal(written[0], "\r\x1b[K█████░░░░░░░░░░░░░░░░░░ Tokenizing 20 of 100 rows, 8 s left");
  assert.equal(written[0]!.length - "\r\x1b[K".length, 59);
});
