/** The command line that a page shows is taken by the command line, and says what was chosen. */
import assert from "node:assert/strict";
import { commandsOf, complaintOf } from "../docs/command_lines.ts";
import { finetuneWords, shellLine } from "../../studio/command_line.ts";
import type { RunSettings } from "../../studio/protocol.ts";

const SETTINGS: RunSettings = {
  model: "HuggingFaceTB/SmolLM2-135M",
  data: "data/it's mine.jsonl",
  output: "runs/dora-2",
  method: "dora",
  options: { rank: 4, targets: ["q_proj", "v_proj"] },
  training: { "learning-rate": "0.001", packing: "true", "max-steps": "20" },
  backend: "wasm",
  threads: 4,
};

Deno.test("the line comes apart into the words that are carried out", () => {
  const words = finetuneWords(SETTINGS);
  assert.deepEqual(commandsOf(shellLine(words)), [["graft", ...words]]);
  assert.ok(words.includes("--packing") && !words.includes("true"), "a flag has no value");
  assert.ok(!finetuneWords({ ...SETTINGS, backend: "gpu" }).includes("--threads"));
});

Deno.test("graft takes it", async () => {
  assert.equal(await complaintOf(["graft", ...finetuneWords(SETTINGS)], "."), undefined);
  const wrong = finetuneWords({ ...SETTINGS, training: { "learning-rat": "1" } });
  assert.match(await complaintOf(["graft", ...wrong], ".") ?? "", /learning-rat/);
});
