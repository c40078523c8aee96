/** The loop on a tiny Llama: it learns, continues bit for bit, and leaves nothing behind. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { adapt, bytesOf, copyTree, leaves, memory, type Tensor, type Tree } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import {
  adamw,
  adamw8bit,
  heldOutLoss,
  type Moments,
  paged,
  resident,
  type Rows,
  rowsFrom,
  sgd,
  type SlotBytes,
  startTraining,
  type TrainOptions,
} from "../../train/mod.ts";
import { GOLDEN } from "../support/golden.ts";

const backend = reference();
const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
const rows = rowsFrom(
  Array.from({ length: 7 }, (_, i) => {
    const inputIds = Array.from({ length: 4 + i % 3 }, (_, t) => (3 * i + 5 * t) % 37);
    return { inputIds, labels: inputIds.map((id, t) => t < 2 ? -100 : id) };
  }),
);
const method = lora({ rank: 2, dropout: 0.1, targets: "all-linear" });
const options: TrainOptions = {
  learningRate: 0.02,
  batching: { kind: "buckets", batchSize: 2 },
  accumulate: 2,
  epochs: 4,
  clip: 1,
  seed: 5,
  pad: 0,
};

async function hashOf(params: Tree): Promise<string> {
  const parts: string[] = [];
  for (const [path, t] of leaves(params)) parts.push(path, (await bytesOf(t)).toString());
  return parts.join("|");
}

async function finish(
  extra: Partial<TrainOptions> = {},
  data: Rows = rows,
): Promise<{ params: string; losses: number[] }> {
  const adapter = adapt(model, method, 1);
  const run = await startTraining(model, adapter, data, { ...options, ...extra });
  const losses: number[] = [];
  for (let report = await run.next(); report; report = await run.next()) losses.push(report.loss);
  const params = await hashOf(run.adapter().params);
  run.dispose();
  for (const [, t] of leaves(adapter.params)) t.storage.free();
  return { params, losses };
}

/** The same rows, whose sizes nobody knows until somebody waits for them. */
function unsized(): { readonly data: Rows; readonly waited: readonly (readonly number[] | "all")[] } {
  const [lengths, targets] = [new Uint32Array(rows.count), new Uint32Array(rows.count)];
  const waited: (readonly number[] | "all")[] = [];
  const sized = (numbers?: readonly number[]): Promise<void> => {
    waited.push(numbers ?? "all");
    for (const n of numbers ?? lengths.keys()) {
      [lengths[n], targets[n]] = [rows.lengths[n]!, rows.targets[n]!];
    }
    return Promise.resolve();
  };
  return { data: { ...rows, lengths, targets, sized }, waited };
}

for (
  const batching of [
    { kind: "buckets", batchSize: 2, window: 2 },
    { kind: "packing", batchSize: 1, maxLength: 12 },
  ] as const
) {
  Deno.test(`rows that are counted while they are trained give the same bits: ${batching.kind}`, async () => {
    const { data, waited } = unsized();
    assert.deepEqual(
      await finish({ batching, accumulate: 1 }, data),
      await finish({ batching, accumulate: 1 }),
    );
    // In buckets a step waits for the four rows of its window, or the three of the last; packing needs all.
    assert.equal(waited.includes("all"), batching.kind === "packing");
    if (batching.kind === "buckets") {
      assert.ok(waited.every((some) => some.length === 4 || some.length === 3));
    }
  });
}

Deno.test("startTraining() lowers the loss, takes the same steps for a seed and leaves no byte", async () => {
  const before = memory().live;
  const [a, b, other] = [await finish(), await finish(), await finish({ seed: 6 })];
  assert.equal(memory().live, before);
  assert.equal(a.losses.length, 8);
  assert.ok(a.losses.at(-1)! < 0.9 * a.losses[0]!, String(a.losses));
  assert.equal(a.params, b.params);
  assert.notEqual(a.params, other.params);
});

const kinds: readonly (readonly [string, (params: Tree) => Moments | Promise<Moments>])[] = [
  ["resident AdamW", (params) => resident(adamw({ weightDecay: 0.01 }), params)],
  ["resident 8-bit AdamW", (params) => resident(adamw8bit(), params)],
  ["paged AdamW in host memory", (params) => paged(adamw({ weightDecay: 0.01 }), params)],
  ["paged AdamW on disk", (params) => paged(adamw({ weightDecay: 0.01 }), params, { hostBudget: 100 })],
  ["SGD with momentum", (params) => resident(sgd({ momentum: 0.9 }), params)],
];

for (const [name, moments] of kinds) {
  Deno.test(`startTraining() continues bit for bit from a snapshot with ${name}`, async () => {
    const whole = await finish({ moments });
    const adapter = adapt(model, method, 1);
    const first = await startTraining(model, adapter, rows, { ...options, moments });
    for (let i = 0; i < 3; i++) await first.next();
    const { step, params, slots } = first.snapshot();
    const saved = new Map<string, SlotBytes>();
    for await (const [slot, value] of slots) saved.set(slot, { ...value, bytes: value.bytes.slice() });
    const copy = adapt(model, method, 9); // other numbers, to be overwritten
    for (const [i, [, t]] of leaves(params).entries()) {
      backend.upload(leaves(copy.params)[i]![1].raw, await bytesOf(t));
    }
    first.dispose();
    const second = await startTraining(model, adapter, rows, { ...options, moments }, {
      step,
      params: copy.params,
      slots: saved,
    });
    while (await second.next());
    assert.equal(await hashOf(second.adapter().params), whole.params);
    second.dispose();
    for (const [, t] of leaves(adapter.params)) t.storage.free();
  });
}

Deno.test("paged() takes the steps of the resident optimizer", async () => {
  const [a, b] = [await finish({ moments: kinds[0]![1] }), await finish({ moments: kinds[3]![1] })];
  assert.equal(a.params, b.params);
});

Deno.test("paged() leaves no file in its folder, whatever ends the run", async () => {
  const folder = await Deno.makeTempDir();
  const adapter = adapt(model, method, 1);
  const moments = await paged(adamw(), adapter.params, { hostBudget: 0, folder });
  assert.ok(moments.bytes().disk > 0);
  assert.deepEqual([...Deno.readDirSync(folder)], []); // kill -9 could come now
  moments.dispose();
  const { writeSync } = fs;
  fs.writeSync = () => {
    throw new Error("No space left on device");
  };
  try {
    await assert.rejects(
      paged(adamw(), adapter.params, { hostBudget: 0, folder }),
      (error: Error) =>
        error.message.includes(`bytes of optimizer state to ${folder}`) &&
        error.message.includes("No space left on device; free some room there"),
    );
  } finally {
    fs.writeSync = writeSync;
  }
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  await Deno.remove(folder);
  for (const [, t] of leaves(adapter.params)) t.storage.free();
});

Deno.test("startTraining() stops before updating when the loss is not finite", async () => {
  const adapter = adapt(model, method, 1);
  const run = await startTraining(model, adapter, rows, { ...options, learningRate: 1e30, clip: 1e30 });
  await assert.rejects(async () => {
    while (await run.next());
  }, /The loss of step \d+ is .* lower the learning rate/);
  run.dispose();
  for (const [, t] of leaves(adapter.params)) t.storage.free();
});

Deno.test("heldOutLoss() is the token mean whatever the batch size", async () => {
  const [one, three] = [
    await heldOutLoss(model, rows, { batchSize: 1, pad: 0 }),
    await heldOutLoss(model, rows, { batchSize: 3, pad: 0 }),
  ];
  assert.ok(Math.abs(one.loss - three.loss) < 1e-5 * one.loss);
  assert.equal(one.tokens, 34 - 7 * 2); // 34 tokens, two of each row without a label
});

Deno.test("startTraining() refuses to go on from a checkpoint with leaves that the adapter has not, or without some", async () => {
  const adapter = adapt(model, method, 1);
  const [[, leaf]] = leaves(adapter.params) as [readonly [string, Tensor]];
  const start = (params: Tree) =>
    startTraining(model, adapter, rows, options, { step: 0, params, slots: new Map(), state: {} });
  await assert.rejects(start({ ...adapter.params, pooler: leaf }), {
    name: "RangeError",
    message: "Cannot resume: the checkpoint has pooler, which the adapter has not",
  });
  await assert.rejects(
    start({}),
    /^RangeError: Cannot resume: .* is \[.*\] but the checkpoint has \[nothing\]$/,
  );
  for (const [, t] of leaves(adapter.params)) t.storage.free();
});

Deno.test("startTraining() from a snapshot of more steps than there are is over at once", async () => {
  const adapter = adapt(model, method, 1);
  const first = await startTraining(model, adapter, rows, options);
  await first.next();
  const { params, slots } = first.snapshot();
  const saved: (readonly [string, SlotBytes])[] = [];
  for await (const [name, slot] of slots) saved.push([name, slot]);
  const start = performance.now();
  const resume = { step: 2_147_483_647, params: copyTree(params), slots: new Map(saved) };
  const run = await startTraining(model, adapter, rows, options, resume);
  assert.equal(await run.next(), undefined);
  assert.ok(performance.now() - start < 2000);
  first.dispose();
  run.dispose();
  for (const [, t] of leaves(adapter.params)) t.storage.free();
});
