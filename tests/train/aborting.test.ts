/** Training and reading of data that a signal ends. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import {
  adapt,
  bytesOf,
  copyTree,
  dispose,
  leaves,
  lossAndGradients,
  memory,
  type Tree,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { trainStage } from "../../recipes/mod.ts";
import {
  openExamples,
  type Resume,
  rowsFrom,
  type SlotBytes,
  startTraining,
  type Training,
  type TrainOptions,
} from "../../train/mod.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { GOLDEN } from "../support/golden.ts";

const backend = reference();
const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
const rows = rowsFrom(
  Array.from({ length: 7 }, (_, i) => {
    const inputIds = Array.from({ length: 4 + i % 3 }, (_, t) => (3 * i + 5 * t) % 37);
    return { inputIds, labels: inputIds.map((id, t) => t < 2 ? -100 : id) };
  }),
);
const OPTIONS: TrainOptions = {
  learningRate: 0.02,
  batching: { kind: "buckets", batchSize: 2 },
  accumulate: 3,
  epochs: 3,
  clip: 1,
  seed: 5,
  pad: 0,
};
const start = adapt(model, lora({ rank: 2, dropout: 0.1, targets: "all-linear" }), 1);

/** The bits of all parameters. */
async function bitsOf(params: Tree): Promise<string> {
  const parts: string[] = [];
  for (const [path, t] of leaves(params)) parts.push(path, (await bytesOf(t)).toString());
  return parts.join("|");
}

async function losses(run: Training<Tree>): Promise<readonly number[]> {
  const all: number[] = [];
  for (let report = await run.next(); report; report = await run.next()) all.push(report.loss);
  return all;
}

/** A run from start to end: its losses and the parameters' bits. */
async function finished(resume?: Resume): Promise<readonly [losses: readonly number[], bits: string]> {
  const run = await startTraining(model, start, rows, OPTIONS, resume);
  try {
    return [await losses(run), await bitsOf(run.adapter().params)];
  } finally {
    run.dispose();
  }
}

const [WHOLE_LOSSES, WHOLE] = await finished();

/** A run that is aborted in a pass: `pass` of all passes, from 0. */
async function abortedIn(pass: number): Promise<{ run: Training<Tree>; reports: number }> {
  const controller = new AbortController();
  let passes = 0;
  const run = await startTraining(model, start, rows, {
    ...OPTIONS,
    signal: controller.signal,
    gradients: (...given) => {
      if (passes++ === pass) controller.abort(new Error(`in pass ${pass}`));
      return lossAndGradients(...given);
    },
  });
  let reports = 0;
  const held = memory(backend).live;
  await assert.rejects(async () => {
    while (await run.next() !== undefined) reports++;
  }, { message: `in pass ${pass}` });
  assert.equal(memory(backend).live, held, "what a step had made is freed");
  assert.ok(passes <= pass + 1, `${passes} passes`); // none begins after the abort
  return { run, reports };
}

for (const pass of [0, 1, 2, 3, 5, 8]) {
  Deno.test(`an abort in pass ${pass} frees what its step had made, and a snapshot goes on to the same bits`, async () => {
    const live = memory(backend).live;
    const { run, reports } = await abortedIn(pass);
    assert.equal(run.step, reports);
    await assert.rejects(run.next(), { message: `in pass ${pass}` }); // again, and nothing is done
    const { step, params, slots, state } = run.snapshot();
    const stored = new Map<string, SlotBytes>();
    for await (const [name, slot] of slots) stored.set(name, slot);
    const resume = { step, params: copyTree(params), slots: stored, ...state && { state: copyTree(state) } };
    run.dispose();
    const [rest, bits] = await finished(resume);
    assert.deepEqual(rest, WHOLE_LOSSES.slice(reports));
    assert.equal(bits, WHOLE);
    assert.equal(memory(backend).live, live);
  });
}

Deno.test("a timer's abort ends a run on a backend that never waits", async () => {
  const run = await startTraining(model, start, rows, {
    ...OPTIONS,
    epochs: 1e6,
    signal: AbortSignal.timeout(20),
  });
  await assert.rejects(losses(run), { name: "TimeoutError" });
  run.dispose();
});

Deno.test("a signal that was aborted before allocates nothing, and leaves the state to resume from to the caller", async () => {
  const resume = { step: 0, params: copyTree(start.params), slots: new Map<string, SlotBytes>() };
  const before = memory(backend);
  const untouched = new Proxy(rows, { get: () => assert.fail("the rows are read") });
  await assert.rejects(
    startTraining(model, start, untouched, { ...OPTIONS, signal: AbortSignal.abort() }, resume),
    { name: "AbortError" },
  );
  assert.deepEqual(memory(backend), before);
  await bitsOf(resume.params); // still there
  dispose(resume.params);
});

Deno.test("a stage of a recipe that is aborted frees its run", async () => {
  const own = { ...start, params: copyTree(start.params) };
  const live = memory(backend).live;
  const controller = new AbortController();
  await assert.rejects(
    trainStage(model, own, rows, {
      ...OPTIONS,
      signal: controller.signal,
      stepped: () => controller.abort(),
    }),
    { name: "AbortError" },
  );
  assert.ok(memory(backend).live < live); // the adapter went to the stage
});

/** Temporary copies of records, and open files, of this process. */
const copies = (): readonly string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith("graft-records-"));
const openFiles = (below: string): number =>
  process.platform !== "linux"
    ? 0
    : readdirSync("/proc/self/fd").filter((fd) => linkOf(fd).startsWith(below)).length;
const linkOf = (fd: string): string => {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ""; // closed since
  }
};

for (const name of ["data.jsonl", "data.csv"]) {
  Deno.test(`opening ${name} ends at an abort, and leaves no file open and no copy`, async () => {
    using folder = temporaryFolder();
    mkdirSync(`${folder.path}/tmp`);
    const file = `${folder.path}/${name}`;
    const lines = Array.from(
      { length: 20_000 },
      (_, i) =>
        name.endsWith("csv")
          ? `question ${i},answer ${i}`
          : JSON.stringify({ prompt: `q${i}`, completion: `a${i}` }),
    );
    writeFileSync(file, `${name.endsWith("csv") ? "prompt,completion\n" : ""}${lines.join("\n")}\n`);
    const before = copies().length;
    const controller = new AbortController();
    let seen = 0;
    const opened = openExamples(file, { signal: controller.signal }, () => {
      if (++seen === 50) setTimeout(() => controller.abort(), 0);
    });
    await assert.rejects(opened, { name: "AbortError" });
    assert.ok(seen < 20_000, "it was heeded while reading");
    assert.equal(openFiles(folder.path), 0);
    assert.ok(copies().length <= before, "a copy was left");
    let asked = 0;
    await assert.rejects(openExamples("nowhere", { signal: controller.signal }, () => asked++), {
      name: "AbortError",
    });
    assert.equal(asked, 0);
  });
}
