/** Planned seconds against the sum over a whole epoch that a backend really computes, where a call costs one second per element. */
import assert from "node:assert/strict";
import { adapt, dispose, graft, type Method } from "../../core/mod.ts";
import { shapesOn } from "../../core/trees/shapes_on.ts";
import { loadModel } from "../../io/load_model.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { fullFineTune, ia3, lora } from "../../methods/mod.ts";
import { recordingShapes } from "../../ops/recording.ts";
import { reference } from "../../ops/reference/mod.ts";
import type { CallSeconds } from "../../ops/timed_calls.ts";
import { adamw, heldOutLoss, type PlanOptions, resident, rowsFrom, startTraining } from "../../train/mod.ts";
import { planTime } from "../../train/plan_time.ts";
import { callCounter } from "../ops/call_counter.ts";
import { GOLDEN } from "../support/golden.ts";

const path = `${GOLDEN}llama_lora/base`;
const rowsOf = (lengths: readonly number[]) =>
  rowsFrom(lengths.map((length) => {
    const inputIds = Array.from({ length }, (_, t) => (7 * length + 3 * t) % 37);
    return { inputIds, labels: inputIds.map((id, t) => t < 2 ? -100 : id) };
  }));
const plain: PlanOptions = {
  learningRate: 0.01,
  batching: { kind: "buckets", batchSize: 2 },
  accumulate: 2,
  pad: 0,
  optimizer: adamw(),
  state: "resident",
};
const heldOut = rowsOf([20, 11, 9, 16, 30]);

/** One second per element of every operand. */
const elements = (sizes: readonly string[]): number =>
  sizes.reduce(
    (sum, one) => sum + one.slice(1, -1).split(",").reduce((n, axis) => n * Number(axis || 1), 1),
    0,
  );
const cost = (text: string): number => elements(text.match(/\[[0-9,]*\]/g) ?? []);
const known = new Proxy(new Map(), {
  get: (map, name) =>
    name === "has"
      ? () => true
      : name === "get"
      ? cost
      : name === Symbol.iterator
      ? () => map[Symbol.iterator]()
      : undefined,
}) as CallSeconds;

const cases: readonly (readonly [string, Method, readonly number[], number, Partial<PlanOptions>])[] = [
  ["LoRA, rows of one length", lora({ rank: 2 }), new Array(8).fill(12), 1e-6, {}],
  ["full, rows of one length", fullFineTune(), new Array(8).fill(12), 1e-6, {}],
  ["LoRA, rows of many lengths", lora({ rank: 2 }), [5, 9, 30, 12, 22, 7, 41, 16, 12, 9, 33, 28], 0.1, {}],
  ["(IA)³, recomputed, four batches", ia3(), [5, 9, 30, 12, 22, 7, 41, 16], 2e-3, { checkpointBlocks: true }],
  ["full, evaluated", fullFineTune(), new Array(8).fill(12), 0.1, {
    evaluated: { ...heldOut, batchSize: 2 },
  }],
];

for (const [name, method, lengths, near, options] of cases) {
  Deno.test(`planTime() counts what an epoch calls: ${name}`, async () => {
    const all = { ...plain, ...options };
    const counter = callCounter(reference());
    const model = await loadModel(path, { backend: counter.backend });
    const adapter = adapt(model, method);
    const { optimizer: _, state: __, evaluated, ...rest } = all;
    const rows = rowsOf(lengths);
    const run = await startTraining(model, adapter, rows, {
      ...rest,
      epochs: 1,
      moments: (params) => resident(adamw(), params),
    });
    const seconds = (): number => [...counter.calls()].reduce((sum, [text, n]) => sum + n * cost(text), 0);
    counter.reset();
    for (let step = await run.next(); step; step = await run.next());
    const epoch = seconds();
    counter.reset();
    if (evaluated) await heldOutLoss(graft(model, run.adapter()), heldOut, { batchSize: 2, pad: 0 });
    const evaluation = seconds();
    run.dispose();
    dispose(adapter.params);

    const recorder = recordingShapes(reference());
    const shapes = shapesOn(checkpointShapes(path), recorder.backend);
    const sketch = { model: shapes, adapter: adapt(shapes, method), recorder, backend: reference(), known };
    const { plan } = await planTime(sketch, { lengths, targets: rows.targets }, all);
    assert.equal(plan.steps, lengths.length / 4);
    // Where a step has one pass more than another, one addition of gradients more is not in the mean.
    assert.ok(Math.abs(plan.epoch / epoch - 1) < near + 1e-5, `${plan.epoch} for ${epoch}`);
    assert.ok(
      Math.abs(plan.evaluation - evaluation) <= 0.15 * evaluation,
      `${plan.evaluation} for ${evaluation}`,
    );
  });
}
