/**
 * A tab that the browser puts to sleep, as it does with tabs that nobody looks at: frozen in the middle of a run it stands still,
 * and when it wakes it goes on to the bits of an unbroken run. Driven without Playwright, under which every tab counts as looked
 * at and none is frozen. A test of its own step, since it needs Chromium: `deno task test:browser`.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import { chromium, type Page } from "../browser/chromium.ts";
import { commandsOf } from "../docs/command_lines.ts";
import { CHROMIUM, served, sha256 } from "./browser.ts";
import { ofDeno } from "./command.ts";
import { hands } from "./hands.ts";
import { DATA, FILES, MODEL, storedHash } from "./run.ts";

const STEPS = 24;

async function chooseFiles(page: Page, files: readonly string[]): Promise<void> {
  const { root } = await page.send("DOM.getDocument", {}) as { readonly root: { readonly nodeId: number } };
  const input = { nodeId: root.nodeId, selector: "input[type=file]" };
  await page.send("DOM.setFileInputFiles", { files, ...await page.send("DOM.querySelector", input) });
}

Deno.test({
  name: "a tab put to sleep stands still, and goes on to the bits of graft finetune when it wakes",
  ignore: CHROMIUM === undefined,
  fn: async () => {
    await using server = await served(true);
    await using browser = await chromium();
    const page = await browser.page();
    await page.open(`${server.url}?threads=2`);
    const { see, press, fill, drop } = await hands(page);
    await see("Drop a .gguf file");
    await chooseFiles(page, FILES.map((name) => new URL(name, MODEL).pathname));
    await see("Give examples of what");
    await drop("talks.jsonl", DATA);
    await press("Go on to the method");
    await see("of 4.29 GB");
    const settings = { "Max steps": String(STEPS), "Batch size": "2", Seed: "5" };
    for (const [label, value] of Object.entries(settings)) await fill(label, value);
    await press("Go on to training");
    await page.evaluate(`(events = [], document.addEventListener("freeze", () => events.push("freeze")),
      document.addEventListener("resume", () => events.push("resume")), null)`);
    await press("Train");
    await see(`step 2 of ${STEPS}`);

    const shown = (): Promise<number> =>
      page.evaluate(
        `Number(/step (\\d+)/.exec(document.querySelector("main [role=status]").textContent)[1])`,
      );
    await page.send("Page.setWebLifecycleState", { state: "frozen" });
    const asleep = await shown();
    assert.ok(asleep < STEPS - 4, `step ${asleep} when it fell asleep`);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(await shown(), asleep, "nothing moves meanwhile");
    await page.send("Page.setWebLifecycleState", { state: "active" });
    assert.deepEqual(await page.evaluate("events"), ["freeze", "resume"]);

    await see(`step ${STEPS} of ${STEPS}`);
    await see("Go on to comparing");
    const line = await page.evaluate<string>(`document.querySelector("pre.command").textContent`);
    const made = await ofDeno(
      commandsOf(line)[0]!,
      async (output) => await sha256(await Deno.readFile(`${output}/adapter_model.safetensors`)),
    );
    assert.equal(await page.evaluate(storedHash("runs/lora/adapter_model.safetensors")), made);
  },
});
