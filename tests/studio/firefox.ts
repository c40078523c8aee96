/**
 * The studio in Firefox: a model and data are dropped, ten steps are trained on wasm with threads, and the adapter is that of
 * `graft finetune`, to the bit. A test of its own step, since it needs Firefox: `deno task test:browser`.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import { commandsOf } from "../docs/command_lines.ts";
import { firefox, type FirefoxPage } from "../browser/firefox.ts";
import { pathOf, served, sha256 } from "./browser.ts";
import { ofDeno } from "./command.ts";
import { DATA, FILES, lossesOf, MODEL, storedHash, storedText } from "./run.ts";

const NAMES = ["firefox-esr", "firefox"];
const FIREFOX = pathOf(NAMES);
if (FIREFOX === undefined) {
  console.warn(`NOT RUN: the studio's test in Firefox, since there is none here (${NAMES.join(", ")})`);
}

/** What a person does, as functions of the page's. */
const HANDS = `Object.assign(globalThis, {
  until: async (look, what) => {
    for (const end = Date.now() + 120_000; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
      const found = look();
      if (found) return found;
    }
    throw new Error("waited for " + what + " in vain: " + document.body.innerText);
  },
  see: (text) => until(() => document.body.innerText.includes(text), text).then(() => null),
  press: async (name) => {
    const named = () => [...document.querySelectorAll("main button")].findLast((b) => b.innerText.trim() === name && !b.disabled);
    (await until(named, name)).click();
    return null;
  },
  fill: (label, value) => {
    const found = [...document.querySelectorAll("label")].find((l) => l.innerText.trim() === label);
    const field = document.getElementById(found.htmlFor);
    field.value = value;
    for (const kind of ["input", "change", "blur"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
    return null;
  },
  drop: (name, content) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([content], name));
    document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer }));
    return null;
  },
})`;

const call = (page: FirefoxPage, name: string, ...given: readonly string[]): Promise<unknown> =>
  page.evaluate(`${name}(${given.map((word) => JSON.stringify(word)).join(", ")})`);

Deno.test({
  name: "ten steps in Firefox give the adapter of graft finetune, to the bit",
  ignore: FIREFOX === undefined,
  fn: async () => {
    await using server = await served(true);
    await using browser = await firefox(FIREFOX!);
    const { page } = browser;
    await page.open(`${server.url}?threads=2`);
    assert.equal(await page.evaluate("crossOriginIsolated"), true);
    await page.evaluate(`(${HANDS}, null)`);
    await call(page, "see", "Drop a .gguf file");
    await page.setFiles("input[type=file]", FILES.map((name) => new URL(name, MODEL).pathname));
    await call(page, "see", "Give examples of what");
    await call(page, "drop", "talks.jsonl", DATA);
    await call(page, "press", "Go on to the method");
    await call(page, "see", "of 4.29 GB");
    for (const [label, value] of [["Max steps", "10"], ["Batch size", "2"], ["Seed", "3"]] as const) {
      await call(page, "fill", label, value);
    }
    await call(page, "press", "Go on to training");
    await call(page, "press", "Train");
    await call(page, "see", "step 10 of 10");
    await call(page, "see", "Go on to comparing");
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
