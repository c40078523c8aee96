/** The samples of `graft compare`: conversations in short, and what each method wrote with its inventions marked. */
import assert from "node:assert/strict";
import { inShort, samplesText } from "../../../cli/compare/samples.ts";
import type { WrittenSample } from "../../../cli/compare/measure.ts";
import type { MethodResult } from "../../../cli/compare/method.ts";

const CONVERSATION = [
  "Summarize.",
  "",
  "Customer: Hi! I'm Anna. My kettle of 3 May is late. What now?",
  "Agent: Let me see.",
  "Agent: It is in Lyon. It comes on May 9, before noon.",
].join("\n");
const WANTED = "Anna waits for a kettle. It comes on 9 May.";

Deno.test("inShort() keeps the sentences that tell a wanted fact, by speaker", () => {
  assert.deepEqual(inShort(CONVERSATION, WANTED, ["kettle"]), [
    ["Customer", "I'm Anna. … My kettle of 3 May is late."],
    ["Agent", "It comes on May 9, before noon."],
  ]);
  assert.deepEqual(inShort("A text of\nno turns", WANTED, []), [["given", "A text of no turns"]]);
});

Deno.test("samplesText() marks what the conversation lacks, and keeps to the width", () => {
  const sample = (written: string): WrittenSample => ({
    conversation: CONVERSATION,
    reference: WANTED,
    written,
  });
  const measured = (written: string) => ({ loss: 1, samples: [sample(written)] });
  const result = {
    title: "LoRA",
    before: measured("Kettle ".repeat(100)),
    after: measured("Anna from Oslo waits for a kettle until 9 May, or the 10th."),
  } as unknown as MethodResult;
  const lines = samplesText([result], { count: 1, width: 60, terms: ["kettle"] }).join("\n").split("\n");
  assert.ok(lines.every((line) => line.length <= 60), lines.join("\n"));
  assert.equal(lines[1], "Facts that the conversation lacks are in ‹quotes›.");
  assert.equal(lines[3], "Customer   I'm Anna. … My kettle of 3 May is late.");
  assert.ok(lines.includes("wanted     Anna waits for a kettle. It comes on 9 May."));
  assert.equal(
    lines.slice(-2).map((line) => line.slice(11)).join(" "),
    "Anna from ‹Oslo› waits for a kettle until 9 May, or the ‹10th›.",
  );
  assert.match(lines.at(-2)!, /^LoRA {7}Anna/);
  assert.deepEqual(samplesText([result], { count: 0, width: 60, terms: [] }), []);
});
