/** Objectives in the training loop: shares of micro-batches, methods' own parts, resuming. */
import assert from "node:assert/strict";
import {
  adapt,
  type Batch,
  dispose,
  freshModel,
  leaves,
  read,
  reference,
  smallConfig,
  type Tensor,
} from "../../../mod.ts";
import { lora } from "../../../methods/mod.ts";
import { crossEntropy, integers, mean } from "../../../ops/mod.ts";
import {
  distill,
  dpo,
  evaluateObjective,
  type Objective,
  objectiveGradients,
  orpo,
  preferenceRowsFrom,
  type Resume,
  rowsFrom,
  startTraining,
  type TrainOptions,
} from "../../../train/mod.ts";

const after = (prompt: readonly number[], answer: readonly number[]) => ({
  inputIds: [...prompt, ...answer],
  labels: [...prompt.map(() => -100), ...answer],
});
const pairs = preferenceRowsFrom([
  { chosen: after([1, 2], [3, 4]), rejected: after([1, 2], [5]) },
  { chosen: after([6], [7]), rejected: after([6], [8, 9, 10]) },
  { chosen: after([11, 12, 13], [14]), rejected: after([11, 12, 13], [15]) },
  { chosen: after([16], [17, 18]), rejected: after([16], [19]) },
]);
const texts = rowsFrom([after([1, 2], [3, 4, 5]), after([6], [7]), after([8], [9, 10])]);
const model = freshModel(smallConfig("llama"), { backend: reference(), key: 3 });

/** The plain loss, by hand. */
const own: Objective = {
  loss: ({ logits, ids }) => mean(crossEntropy(logits, integers(ids, logits.backend))),
};

async function train(
  objective: Objective | undefined,
  rows: typeof pairs | typeof texts,
  options: Partial<TrainOptions>,
) {
  const start = adapt(model, lora({ rank: 2, targets: "all-linear" }), 1);
  const run = await startTraining(model, start, rows, {
    learningRate: 0.02,
    batching: { kind: "buckets", batchSize: 2 },
    pad: 0,
    epochs: 4,
    ...objective && { gradients: objectiveGradients(objective) },
    ...options,
  });
  const reports = [];
  for (let report = await run.next(); report; report = await run.next()) reports.push(report);
  const params = await Promise.all(leaves(run.adapter().params).map(([, t]) => read(t as Tensor)));
  run.dispose();
  dispose(start.params);
  return { reports, params };
}

Deno.test("one's own loss of logits and labels trains as supervised fine-tuning does", async () => {
  for (
    const batching of [{ kind: "buckets", batchSize: 2 }, {
      kind: "packing",
      batchSize: 1,
      maxLength: 9,
    }] as const
  ) {
    const [mine, plain] = [
      await train(own, texts, { batching, accumulate: 2 }),
      await train(undefined, texts, { batching, accumulate: 2 }),
    ];
    for (const [i, { loss }] of plain.reports.entries()) {
      assert.ok(Math.abs(mine.reports[i]!.loss - loss) < 1e-5);
    }
  }
});

for (const [name, objective] of [["dpo", dpo()], ["ipo", dpo({ loss: "ipo" })], ["orpo", orpo()]] as const) {
  Deno.test(`${name} does not depend on how a step is divided into passes, and learns what is preferred`, async () => {
    const whole = await train(objective, pairs, { batching: { kind: "buckets", batchSize: 4 } });
    const divided = await train(objective, pairs, {
      batching: { kind: "buckets", batchSize: 1 },
      accumulate: 4,
    });
    for (const [i, { loss, metrics }] of whole.reports.entries()) {
      assert.ok(Math.abs(divided.reports[i]!.loss - loss) < 2e-5, `step ${i}`);
      for (const [metric, value] of Object.entries(metrics!)) {
        assert.ok(Math.abs(divided.reports[i]!.metrics![metric]! - value) < 2e-5, metric);
      }
    }
    const longer = await train(objective, pairs, { batching: { kind: "buckets", batchSize: 4 }, epochs: 30 });
    assert.equal(longer.reports.at(-1)!.metrics!["rewards/accuracies"], 1);
    assert.ok(longer.reports.at(-1)!.loss < longer.reports[0]!.loss);
  });
}

Deno.test("a run that is resumed takes the same steps to the bit", async () => {
  const options: TrainOptions = {
    learningRate: 0.02,
    batching: { kind: "buckets", batchSize: 2 },
    pad: 0,
    epochs: 3,
    gradients: objectiveGradients(dpo()),
  };
  const start = adapt(model, lora({ rank: 2 }), 1);
  const losses = async (steps: number, resume?: Resume) => {
    const run = await startTraining(model, start, pairs, options, resume);
    const found: number[] = [];
    while (run.step < steps) found.push((await run.next())!.loss);
    return { run, found };
  };
  const unbroken = await losses(6);
  const first = await losses(3);
  const { step, params, slots } = first.run.snapshot();
  const kept = new Map(await Array.fromAsync(slots));
  const rest = await losses(6, { step, params: structuredParams(params), slots: kept });
  assert.deepEqual([...first.found, ...rest.found], unbroken.found);
  for (const { run } of [unbroken, rest]) run.dispose();
  dispose(start.params);
});

/** The parameters as they are: the resumed run owns them from here on. */
const structuredParams = (params: Resume["params"]): Resume["params"] => params;

Deno.test("a prompt is distilled into an adapter", async () => {
  const objective = distill({ prompt: [20, 21, 22] });
  const { reports } = await train(objective, texts, {
    epochs: 40,
    batching: { kind: "buckets", batchSize: 3 },
  });
  assert.ok(reports.at(-1)!.loss < reports[0]!.loss / 4, `${reports[0]!.loss} -> ${reports.at(-1)!.loss}`);
});

Deno.test("a teacher of another vocabulary, no teacher and wrong numbers are refused", async () => {
  const other = freshModel(smallConfig("llama", { vocabulary: 40 }), { backend: reference(), key: 0 });
  const options = { batchSize: 1, pad: 0 };
  await assert.rejects(
    () => evaluateObjective(model, texts, distill({ teacher: other }), options),
    /a teacher with a vocabulary of 40: the model has 32/,
  );
  assert.throws(() => distill({}), /Expected a teacher/);
  assert.throws(() => distill({ teacher: model, temperature: 0 }), /temperature above 0/);
  assert.throws(() => dpo({ beta: 0 }), /beta above 0/);
  assert.throws(() => dpo({ labelSmoothing: 0.5 }), /labelSmoothing/);
  assert.throws(() => orpo({ beta: -1 }), /beta above 0/);
});

Deno.test("an evaluation is the mean over all pairs, in batches of any size", async () => {
  const [one, two]: Awaited<ReturnType<typeof evaluateObjective>>[] = [
    await evaluateObjective(model, pairs, orpo(), { batchSize: 4, pad: 0 }),
    await evaluateObjective(model, pairs, orpo(), { batchSize: 4, pad: 0 }),
  ];
  assert.deepEqual(one, two);
  const batch: Batch = pairs.batch([0, 1, 2, 3], 0);
  assert.equal(batch.inputIds.length, 8);
  const dividedMetrics = (await evaluateObjective(model, pairs, dpo(), { batchSize: 3, pad: 0 })).metrics;
  assert.equal(dividedMetrics["rewards/margins"], 0);
});
