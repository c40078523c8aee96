/** What the embedded model reads: the same again, never a summary, and retellings of facts that were told. */
import assert from "node:assert/strict";
import { conversation } from "../../embedded/conversations/mod.ts";
import { trainingText } from "../../embedded/curriculum.ts";
import { fold, key } from "../../tensor/key.ts";

const SOME = Array.from({ length: 300 }, (_, i) => i);

Deno.test("trainingText() is a function of key and index, and has no summary", () => {
  for (const i of SOME) {
    const text = trainingText(key(1), i);
    assert.equal(text, trainingText(key(1), i));
    const { summary } = conversation(fold(key(1), "pretraining"), i);
    assert.ok(!text.includes(summary) && !text.includes("Summarize"), text);
  }
});

Deno.test("a conversation's facts stand in its dialogue, and retellings invent no name or number", () => {
  for (const i of SOME) {
    const { dialogue, facts, again } = conversation(key(2), i);
    for (const said of Object.values(facts)) assert.ok(dialogue.includes(said), said);
    const told = new Set(dialogue.toLowerCase().match(/\d+/g));
    for (const number of again.join("\n").match(/\d+/g) ?? []) {
      assert.ok(told.has(number), `${number}: ${dialogue}`);
    }
  }
});
