/** Work with parts is shown as far as it is, and not at all where nobody wants to see it. */
import assert from "node:assert/strict";
import { shownAdvance } from "../../../cli/terminal/advance.ts";

/** What a counter was told. */
function heard() {
  const told: unknown[] = [];
  const counting = (what: string, total: number | undefined, units: string) => {
    told.push([what, total, units]);
    return { at: (done: number) => void told.push(done), stop: () => void told.push("stop") };
  };
  return { told, counting };
}

const twoParts = (advanced: (done: number, total: number) => void): Promise<number> => {
  advanced(1, 2);
  advanced(2, 2);
  return Promise.resolve(7);
};

Deno.test("shownAdvance() counts the parts of the work and gives its result", async () => {
  const { told, counting } = heard();
  assert.equal(await shownAdvance({}, "Writing x", "weights", twoParts, counting), 7);
  assert.deepEqual(told, [["Writing x", 2, "weights"], 1, 2, "stop"]);
});

Deno.test("shownAdvance() clears what it showed when the work fails", async () => {
  const { told, counting } = heard();
  const failing = (advanced: (done: number, total: number) => void): Promise<void> => {
    advanced(1, 2);
    return Promise.reject(new Error("the disk is full"));
  };
  await assert.rejects(shownAdvance({}, "Writing", "weights", failing, counting), /the disk is full/);
  assert.equal(told.at(-1), "stop");
});

Deno.test("shownAdvance() shows nothing with --quiet", async () => {
  const { told, counting } = heard();
  assert.equal(await shownAdvance({ quiet: true }, "Writing", "weights", twoParts, counting), 7);
  assert.deepEqual(told, []);
});
