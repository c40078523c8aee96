/**
 * A run on Chromium's WebGPU, which is Dawn, on its software adapter: the page offers it, and the losses are those of wasm.
 * A test of its own step, since it needs Chromium: `deno task test:webgpu`.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import { TRAINING } from "../ops/gpu/tolerances.ts";
import { browserTest, opened, served, SOFTWARE_GPU } from "./browser.ts";
import { commandOf, ofDeno } from "./command.ts";
import { lossesOf, prepared, storedText } from "./run.ts";

browserTest("four steps on the GPU follow wasm's losses", async (browser) => {
  await using server = await served(true);
  const { page, errors } = await opened(await browser.newContext(), server.url);
  await prepared(page, { "Max steps": "4", "Batch size": "1", "Held out": "0", Seed: "3" }, "gpu");
  await page.getByRole("button", { name: "Train", exact: true }).last().click();
  await page.getByText("the GPU", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Go on to comparing" }).waitFor({ timeout: 300_000 });
  assert.deepEqual(errors, []);
  const losses = lossesOf(await page.evaluate<string>(storedText("runs/lora/metrics.jsonl")));
  assert.equal(losses.length, 4);
  const words = (await commandOf(page)).map((word) => word === "gpu" ? "wasm" : word);
  assert.ok(words.includes("wasm"));
  const expected = await ofDeno(
    words,
    async (output) => lossesOf(await Deno.readTextFile(`${output}/metrics.jsonl`)),
  );
  losses.forEach((loss, i) =>
    assert.ok(Math.abs(loss - expected[i]!) <= TRAINING, `step ${i + 1}: ${loss} and ${expected[i]}`)
  );
}, SOFTWARE_GPU);
