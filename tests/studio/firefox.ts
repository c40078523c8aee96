/**
 * The studio in Firefox: a model and data are dropped, ten steps are trained on wasm with threads, and the adapter is that of
 * `graft finetune`, to the bit. A test of its own step, since it needs Firefox: `deno task test:browser`.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import { commandsOf } from "../docs/command_lines.ts";
import { firefox } from "../browser/firefox.ts";
import { pathOf, served, sha256 } from "./browser.ts";
import { ofDeno } from "./command.ts";
import { hands } from "./hands.ts";
import { DATA, FILES, lossesOf, MODEL, storedHash, storedText } from "./run.ts";

const NAMES = ["firefox-esr", "firefox"];
const FIREFOX = pathOf(NAMES);
if (FIREFOX === undefined) {
  console.warn(`NOT RUN: the studio's test in Firefox, since there is none here (${NAMES.join(", ")})`);
}

Deno.test({
  name: "ten steps in Firefox give the adapter of graft finetune, to the bit",
  ignore: FIREFOX === undefined,
  fn: async () => {
    await using server = await served(true);
    await using browser = await firefox(FIREFOX!);
    const { page } = browser;
    await page.open(`${server.url}?threads=2`);
    assert.equal(await page.evaluate("crossOriginIsolated"), true);
    const { see, press, fill, drop } = await hands(page);
    await see("Drop a .gguf file");
    await page.setFiles("input[type=file]", FILES.map((name) => new URL(name, MODEL).pathname));
    await see("Give examples of what");
    await drop("talks.jsonl", DATA);
    await press("Go on to the method");
    await see("of 4.29 GB");
    for (const [label, value] of [["Max steps", "10"], ["Batch size", "2"], ["Seed", "3"]] as const) {
      await fill(label, value);
    }
    await press("Go on to training");
    await press("Train");
    await see("step 10 of 10");
    await see("Go on to comparing");
    const losses = lossesOf(await page.evaluate<string>(storedText("runs/lora/metrics.jsonl")));
    assert.ok(losses.length === 10 && losses.at(-1)! < losses[0]!, String(losses));
    const line = await page.evaluate<string>(`document.querySelector("pre.command").textContent`);
    const made = await ofDeno(
      commandsOf(line)[0]!,
      async (output) => await sha256(await Deno.readFile(`${output}/adapter_model.safetensors`)),
    );
    assert.equal(await page.evaluate(storedHash("runs/lora/adapter_model.safetensors")), made);
  },
});
