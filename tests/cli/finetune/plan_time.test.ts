/** What a plan says of time and disk. */
import assert from "node:assert/strict";
import { diskOf, showTime, threadsOf, whyNotTimed } from "../../../cli/finetune/plan_time.ts";
import { main } from "../../../cli/main.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { hearStreams } from "../../support/standard_streams.ts";
import { temporaryFolder, tinyModel } from "../tiny.ts";

const plan = {
  weights: 100,
  adapter: 10,
  gradients: 10,
  optimizer: 20,
  activations: 60,
  total: 200,
  paged: 0,
};
const sizes = { train: { lengths: [3], targets: [2] }, texts: 1 };

Deno.test("diskOf() counts two checkpoints for a moment, the best parameters and a paged state's file", () => {
  assert.equal(diskOf(plan, sizes), 2 * 30);
  assert.equal(diskOf(plan, { ...sizes, evaluated: sizes.train }), 2 * 30 + 10);
  assert.equal(diskOf({ ...plan, optimizer: 0, paged: 20 }, sizes), 2 * 30 + 20);
});

Deno.test("whyNotTimed() names what does not hold the run", () => {
  assert.equal(whyNotTimed(plan, reference()), undefined);
  assert.match(whyNotTimed(plan, { ...reference(), capacity: 199 })!, /holds 199 B at most/);
  assert.match(whyNotTimed({ ...plan, total: 1e18 }, reference())!, /^this machine has .*B of memory$/);
});

Deno.test("showTime() speaks of an epoch where there are data, and of a full step where there are none", () => {
  const time = {
    ...{
      backend: "native",
      threads: 2,
      step: 0.5,
      stepsPerEpoch: 100,
      epoch: 50,
      tokensPerSecond: 1234,
    } as const,
    ...{ evaluation: 12, evaluations: 4, steps: 300, total: 198 },
  };
  assert.match(
    showTime(time, { rouge: 0 }, true),
    /^Time on native, 2 threads: 3 min 18 s, 300 steps of 0.50 s and 4 evaluations of 12 s; 50 s an epoch, 1,234 tokens\/s\n/,
  );
  assert.match(
    showTime(time, { rouge: 2 }, false),
    /^Time on native, 2 threads: 0.50 s a step of full rows, .*\n.*--rouge/,
  );
  assert.equal(threadsOf("wasm", { threads: 3 }), 3);
  assert.equal(threadsOf("reference", {}), undefined);
});

Deno.test("graft finetune --plan measures the time of all steps and evaluations", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/data.jsonl`;
  const lines = Array.from(
    { length: 20 },
    (_, n) => JSON.stringify({ prompt: "abc".repeat(1 + n % 4), completion: "de" }),
  );
  Deno.writeTextFileSync(data, lines.join("\n"));
  let printed = "";
  {
    using _ = hearStreams((piece) => printed += piece, () => {});
    const all = ["finetune", "-m", model, "-d", data, "--plan", "--json", "--backend", "reference"];
    assert.equal(await main([...all, "--held-out", "4", "--epochs", "2"]), 0);
  }
  const { time, disk } = JSON.parse(printed);
  assert.equal(time.backend, "reference");
  assert.deepEqual([time.stepsPerEpoch, time.steps, time.evaluations], [2, 4, 3]); // 16 rows, 8 per step
  assert.ok(time.step > 0 && time.evaluation > 0 && disk > 0);
  assert.ok(Math.abs(time.total - 4 * time.step - 3 * time.evaluation) < 1e-9);
});
