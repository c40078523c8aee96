/** Training by several ranks: the adapter's bits do not depend on how many there are. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  adapt,
  bytesOf,
  dispose,
  graft,
  leaves,
  type Method,
  type Model,
  nest,
  quantize,
  read,
  type Tree,
} from "../../core/mod.ts";
import {
  adalora,
  dora,
  fullFineTune,
  houlsby,
  ia3,
  lily,
  lora,
  prefixTuning,
  unipelt,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { freshModel, smallConfig, taskConfig } from "../../models/mod.ts";
import {
  adamw,
  distill,
  dpo,
  evaluateObjective,
  heldOutLoss,
  labelledRows,
  objectiveGradients,
  orpo,
  predict,
  preferenceRowsFrom,
  resident,
  type Rows,
  rowsFrom,
  samplesOf,
  startTraining,
  type TrainOptions,
  withReference,
  type World,
} from "../../train/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../support/golden.ts";
import { goldenBase } from "../support/golden_method.ts";
import { tinyLlama } from "../support/tiny_models.ts";
import { worldsOf } from "../support/worlds.ts";

const SIZES = [1, 2, 3, 4, 6];

/** Texts of 2 to 9 tokens, whose labels are few or many. */
const ROWS = Array.from({ length: 11 }, (_, n) => {
  const inputIds = Array.from({ length: 2 + (n * 5) % 8 }, (_, i) => 1 + (3 * n + i) % 10);
  return { inputIds, labels: inputIds.map((id, i) => i < n % 3 ? -100 : id) };
});

const BUCKETS: TrainOptions = {
  learningRate: 0.05,
  batching: { kind: "buckets", batchSize: 4 }, // the last batch of an epoch has three
  accumulate: 2,
  chunkTokens: 10,
  epochs: 2,
  clip: 0.5,
  seed: 3,
  pad: 0,
};

/** SHA-256 of the parameters that a rank ends with, and its losses. */
async function trained(model: Model, method: Method, options: TrainOptions, rows: Rows): Promise<string> {
  const start = adapt(model, method, 5);
  const run = await startTraining(model, start, rows, options);
  const hash = createHash("sha256");
  for (let report = await run.next(); report; report = await run.next()) {
    hash.update(JSON.stringify([report.loss, report.gradientNorm, report.tokens]));
  }
  for (const [path, t] of leaves(run.adapter().params)) hash.update(path).update(await bytesOf(t));
  run.dispose();
  dispose(start.params);
  return hash.digest("hex");
}

/** The same digest on every rank of every size. */
async function assertSame(
  model: Model,
  method: Method,
  options: TrainOptions = BUCKETS,
  rows: Rows = rowsFrom(ROWS),
): Promise<void> {
  const hashes: string[] = [];
  for (const size of SIZES) {
    const worlds: readonly World[] = worldsOf(size);
    hashes.push(
      ...await Promise.all(worlds.map((world) => trained(model, method, { ...options, world }, rows))),
    );
  }
  assert.deepEqual([...new Set(hashes)].length, 1, hashes.join("\n"));
}

const METHODS: Readonly<Record<string, () => Method>> = {
  lora: () => lora({ rank: 2, dropout: 0.2, targets: "all-linear" }) as Method,
  dora: () => dora({ rank: 2 }) as Method,
  "prefix-tuning": () => prefixTuning({ length: 2, network: { hidden: 3 } }) as Method,
  houlsby: () => houlsby({ reduction: 4 }) as Method,
  ia3: () => ia3() as Method,
  unipelt: () =>
    unipelt({
      prefix: { length: 2, network: { hidden: 3 } },
      lora: { rank: 2 },
      adapter: { reduction: 3 },
    }) as Method,
  adalora: () =>
    adalora({ rank: 3, targetRank: 1, initialSteps: 1, finalSteps: 1, interval: 1, totalSteps: 4 }) as Method,
  lily: () => lily({ rank: 2, mean: "batch" }) as Method,
  "full-fine-tune": () => fullFineTune() as Method,
};

for (const [name, make] of Object.entries(METHODS)) {
  Deno.test(`1, 2, 3, 4 and 6 ranks train the same bits: ${name}`, () =>
    assertNoLeak(async () => {
      const model = tinyLlama(reference(), 1);
      await assertSame(model, make());
      model.dispose();
    }));
}

for (const backend of BACKENDS.filter((name) => name !== "reference")) {
  Deno.test(`1, 2, 3, 4 and 6 ranks train the same bits on ${backend}, on a base in four bits too`, () =>
    withBackend(backend, async (own) => {
      const model = tinyLlama(own, 1);
      await assertSame(model, METHODS["lora"]!());
      const quantized = quantize(model, { dtype: "nf4" });
      await assertSame(quantized, METHODS["lora"]!());
      quantized.dispose();
      model.dispose();
    }));
}

Deno.test("1, 2, 3, 4 and 6 ranks train the same bits on packed rows, and without accumulation", async () => {
  const model = tinyLlama(reference(), 1);
  const packing = { kind: "packing", batchSize: 3, maxLength: 12 } as const;
  await assertSame(model, METHODS["lora"]!(), { ...BUCKETS, batching: packing, chunkTokens: 12 });
  await assertSame(model, METHODS["lora"]!(), { ...BUCKETS, accumulate: 1, chunkTokens: 1 });
  model.dispose();
});

Deno.test("held-out losses are shared out, and every rank has all of them, the bits of one process", async () => {
  const model = tinyLlama(reference(), 1);
  const rows = rowsFrom(ROWS.filter(({ labels }) => labels.some((label) => label !== -100)));
  const measured = (world?: World) =>
    heldOutLoss(model, rows, { batchSize: 2, pad: 0, ...world && { world } });
  const alone = await measured();
  for (const size of SIZES) {
    assert.deepEqual(await Promise.all(worldsOf(size).map(measured)), worldsOf(size).map(() => alone));
  }
  model.dispose();
});

const PAIRS = preferenceRowsFrom(
  Array.from({ length: 9 }, (_, n) => {
    const answer = (length: number, shift: number) => {
      const inputIds = Array.from({ length: 2 + length }, (_, i) => 1 + (5 * n + shift * i) % 10);
      return { inputIds, labels: inputIds.map((id, i) => i < 2 ? -100 : id) };
    };
    return { chosen: answer(1 + n % 4, 3), rejected: answer(1 + n % 3, 7), margin: n / 4 };
  }),
);

/**
 * What work gives on every rank of every size is what it gives alone; each batch is some rank's, and no other's.
 *
 * @param batches How many there are.
 */
async function assertShared<T>(
  batches: number,
  work: (world: World | undefined, between: () => void) => Promise<T>,
): Promise<void> {
  const alone = await work(undefined, () => {});
  for (const size of SIZES) {
    let done = 0;
    const found = await Promise.all(worldsOf(size).map((world) => work(world, () => void done++)));
    assert.deepEqual(found, found.map(() => alone));
    assert.equal(done, batches, `${size} ranks`);
  }
}

Deno.test("evaluations of objectives are shared out, and every rank has the loss and the metrics of one process", async () => {
  const model = tinyLlama(reference(), 1);
  const start = adapt(model, lora({ rank: 2, initialization: "none" }) as Method, 5);
  const tuned = graft(model, start);
  for (const objective of [dpo(), orpo(), distill({ teacher: model })]) {
    await assertShared(5, (world, between) =>
      evaluateObjective(tuned, PAIRS, objective, {
        ...{ batchSize: 2, pad: 0, base: model, between },
        ...world && { world },
      }));
  }
  dispose(start.params);
  model.dispose();
});

Deno.test("a reference's log-probabilities are shared out, and every rank's rows have the bits of one process", async () => {
  const model = tinyLlama(reference(), 1);
  const known = async (world: World | undefined, between: () => void) => {
    const options = { batchSize: 2, pad: 0, between, ...world && { world } };
    const rows = await withReference(PAIRS, model, options);
    return rows.batch([...Array(9).keys()], 0).reference;
  };
  const alone = await known(undefined, () => {});
  for (const size of SIZES) {
    assert.deepEqual(
      await Promise.all(worldsOf(size).map((world) => known(world, () => {}))),
      [
        ...Array(size),
      ].map(() => alone),
    );
  }
  // One rank has them from before: the others do not wait for it in vain.
  const kept: Float32Array[] = [];
  const store = (complete: boolean) => ({
    complete,
    write: (text: number, values: Float32Array) => {
      assert.ok(!complete);
      kept[text] = values;
    },
    read: (text: number) => kept[text]!,
  });
  await Promise.all(
    worldsOf(2).map((world) =>
      withReference(PAIRS, model, { batchSize: 2, pad: 0, world, store: store(world.rank === 1) })
    ),
  );
  assert.equal(kept.length, 18);
  model.dispose();
});

Deno.test("a reference's log-probabilities are computed once each, whatever the number of ranks", async () => {
  const model = tinyLlama(reference(), 1);
  for (const size of SIZES) {
    let pairs = 0;
    const counted = {
      ...PAIRS,
      batch: (numbers: readonly number[], pad: number) => {
        pairs += numbers.length;
        return PAIRS.batch(numbers, pad);
      },
    };
    await Promise.all(
      worldsOf(size).map((world) => withReference(counted, model, { batchSize: 2, pad: 0, world })),
    );
    assert.equal(pairs, PAIRS.count, `${size} ranks`);
  }
  model.dispose();
});

Deno.test("predictions are shared out, and every rank has all of them", async () => {
  const tokenizer = {
    encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0) % 32),
    wrap: (ids: readonly number[]) => ({ ids, typeIds: ids.map(() => 0) }),
  };
  const names = ["bad", "fair", "good"];
  const texts = ["sun", "a sea", "tea", "no", "maps", "dogs and cats", "it"];
  const tasks = {
    classify: texts.map((text, i) => ({ kind: "class", text, label: names[i % 3]! }) as const),
    tag: texts.map((text) =>
      ({
        kind: "tags",
        words: text.split(" "),
        tags: text.split(" ").map((word) => names[word.length % 3]!),
      }) as const
    ),
    score: texts.map((text, i) => ({ kind: "score", text, score: i / 3 }) as const),
  };
  for (const [kind, examples] of Object.entries(tasks)) {
    const task = kind === "score" ? { kind: "score" } as const : { kind: kind as "classify" | "tag", names };
    const model = freshModel(taskConfig(smallConfig("bert"), task), { backend: reference(), key: 0 });
    const rows = labelledRows(examples, tokenizer, { maxLength: 16, ...kind !== "score" && { names } });
    await assertShared(
      4,
      (world, between) => predict(model, rows, { batchSize: 2, pad: 0, between, ...world && { world } }),
    );
    model.dispose();
  }
});

Deno.test("1, 2, 3, 4 and 6 ranks train the same bits of preferences", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const options = { ...BUCKETS, epochs: 1, gradients: objectiveGradients(dpo()) };
    await assertSame(model, METHODS["lora"]!(), options, PAIRS);
    model.dispose();
  }));

Deno.test("generated texts are shared out, and every rank has all of them", async () => {
  const base = tinyLlama(reference(), 1);
  const tokenizer = {
    decode: (ids: readonly number[]) => ids.map((id) => `<${id}>`).join(""),
    special: new Set([2]),
  };
  const model = { ...base, tokenizer } as unknown as Model;
  const rows = rowsFrom(
    ROWS.map(({ inputIds }) => ({ inputIds, labels: inputIds.map((id, i) => i === 0 ? -100 : id) })),
  );
  const references = ROWS.map((_, n) => `reference ${n}`);
  const written = (world?: World) =>
    samplesOf(model, rows, references, { maxNewTokens: 4, batchSize: 2, ...world && { world } });
  const alone = await written();
  assert.ok(new Set(alone.map(({ written }) => written)).size > 1);
  for (const size of SIZES) {
    assert.deepEqual(await Promise.all(worldsOf(size).map(written)), worldsOf(size).map(() => alone));
  }
  base.dispose();
});

Deno.test("a loss is the mean over all labels of the step, however they lie on ranks", async () => {
  // One text with one label and one with eight: the mean of the ranks' means would count the single one as much as all eight.
  const model = tinyLlama(reference(), 1);
  const rows = [{ inputIds: [1, 2], labels: [-100, 2] }, {
    inputIds: [1, 2, 3, 4, 5, 6, 7, 8, 9],
    labels: [-100, 2, 3, 4, 5, 6, 7, 8, 9],
  }];
  const step = async (own: typeof rows, world?: World, batchSize = 1): Promise<number> => {
    const start = adapt(model, lora({ rank: 2 }), 5);
    const run = await startTraining(model, start, rowsFrom(own), {
      learningRate: 0.1,
      batching: { kind: "buckets", batchSize },
      accumulate: 2,
      pad: 0,
      ...world && { world },
    });
    const { loss } = (await run.next())!;
    run.dispose();
    dispose(start.params);
    return loss;
  };
  const [few, many] = [await step([rows[0]!]), await step([rows[1]!])];
  const losses = await Promise.all(worldsOf(2).map((world) => step(rows, world)));
  for (const loss of losses) assert.ok(Math.abs(loss - (few + 8 * many) / 9) < 1e-6, `${loss}`);
  assert.ok(Math.abs(losses[0]! - (few + many) / 2) > 1e-3);
  model.dispose();
});

Deno.test("steps over answers of 1 to 9 labels are torch's, on every number of ranks, with any text on any of them", async () => {
  const expected = goldenNumbers("uneven_answers/lora.safetensors");
  const texts = JSON.parse(Deno.readTextFileSync(`${GOLDEN}uneven_answers/texts.json`));
  const model = await goldenBase(reference());
  const start = [...goldenTensors("uneven_answers/lora.safetensors", model.backend)]
    .filter(([name]) => name.startsWith("param.")).map(([name, t]) =>
      [name.slice("param.".length), t] as const
    );
  const method = lora({ rank: 2, alpha: 4, targets: ["q_proj", "v_proj"] }) as Method;
  const adapter = { name: "default", method, params: nest(start) as Tree };
  const [losses, means] = [expected.get("losses")!, expected.get("means")!];
  assert.ok(losses.every((loss, i) => Math.abs(loss - means[i]!) > 0.05)); // a mean of means is another number
  for (const size of [1, 2, 3, 4]) {
    await Promise.all(
      worldsOf(size).map(async (world) => {
        const run = await startTraining(model, adapter, rowsFrom(texts), {
          learningRate: 0.01,
          moments: (params) => resident(adamw({ weightDecay: 0 }), params),
          batching: { kind: "buckets", batchSize: 2 },
          accumulate: 2,
          chunkTokens: 1,
          epochs: 3,
          pad: 0,
          world,
        });
        for (let i = 0; i < 3; i++) assertClose([(await run.next())!.loss], [losses[i]!], 1e-5, `loss ${i}`);
        for (const [path, t] of leaves(run.adapter().params)) {
          assertClose(await read(t), expected.get(`step.${path}`)!, 1e-5, path);
        }
        run.dispose();
      }),
    );
  }
  model.dispose();
});
