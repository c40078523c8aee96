/** Training and generation in a worker beside the same in this thread. */
import assert from "node:assert/strict";
import {
  adapt,
  bytesOf,
  cosine,
  dispose,
  errorCode,
  generate,
  graft,
  ia3,
  leaves,
  loadModel,
  lora,
  memory,
  startTraining,
  wasm,
} from "../../mod.ts";
import { adapterFromData } from "../../io/mod.ts";
import { textRows } from "../../train/mod.ts";
import { compose } from "../../core/mod.ts";
import { generateInWorker, trainInWorker, type WorkerStep, type WorkerTraining } from "../../worker/mod.ts";

const MODEL = new URL("../../embedded/model", import.meta.url).pathname;
const ON_WASM = { name: "wasm", threads: 2 } as const;

const backend = await wasm({ threads: 2 });
const model = await loadModel(MODEL, { backend });
const text = Array.from({ length: 12 }, (_, i) => `Order ${i} of ${i * 7} jackets came late.`).join(" ");
const rows = textRows([text], model.tokenizer, 24);
const tokens = Array.from({ length: rows.count }, (_, n) => rows.tokens(n));
const run: WorkerTraining = {
  model: MODEL,
  method: lora({ rank: 4, dropout: 0.1 }),
  data: tokens,
  training: {
    learningRate: 5e-3,
    schedule: { kind: "cosine", warmUp: 2 },
    batching: { kind: "buckets", batchSize: 4 },
    epochs: 10,
    maxSteps: 6,
    clip: 1,
    seed: 3,
  },
  adapterSeed: 5,
  backend: ON_WASM,
};

globalThis.addEventListener("unload", () => backend.close());

Deno.test("a worker trains and writes to the bits of this thread", async () => {
  const adapter = adapt(model, lora({ rank: 4, dropout: 0.1 }), 5);
  const here = await startTraining(model, adapter, rows, {
    learningRate: 5e-3,
    schedule: cosine({ warmUp: 2, totalSteps: 6 }),
    batching: { kind: "buckets", batchSize: 4 },
    epochs: 10,
    maxSteps: 6,
    clip: 1,
    seed: 3,
    pad: model.tokenizer.pad ?? 0,
  });
  const expected: WorkerStep[] = [];
  for (let step = await here.next(); step !== undefined; step = await here.next()) {
    expected.push({ ...step, totalSteps: 6 });
  }
  const there = trainInWorker(run);
  const found: WorkerStep[] = [];
  for await (const step of there) found.push(step);
  assert.deepEqual(found, expected);
  const data = await there.result;
  assert.equal(data.record.method, "lora");
  for (const [path, leaf] of leaves(here.adapter().params)) {
    assert.deepEqual(data.params[path]!.bytes, Uint8Array.from(await bytesOf(leaf)), path);
  }

  const options = { maxNewTokens: 12, key: 7, sampler: { temperature: 0.8 } };
  const written = await generate(graft(model, here.adapter()), ["The order", "Jackets"], options);
  const again = generateInWorker({
    ...options,
    model: MODEL,
    adapter: data,
    prompts: ["The order", "Jackets"],
    backend: ON_WASM,
  });
  assert.deepEqual(await again.result, written);
  const pieces = ["", ""];
  for await (const { row, text } of again) pieces[row] += text; // what came before is still told
  assert.deepEqual(pieces, written);

  const back = await adapterFromData(data, model);
  assert.deepEqual(await generate(graft(model, back), ["The order", "Jackets"], options), written);
  dispose([back.params, adapter.params]);
  here.dispose();
});

Deno.test("methods by records, combinations, and those that prepare a run train in a worker, from records as data", async () => {
  const records = [{ prompt: "customer: hello", completion: "agent: good morning" }];
  const training = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 2 } as const;
  const base = { model: MODEL, data: { records, maxLength: 64 }, training, backend: ON_WASM };
  for (
    const [method, leaf] of [
      [{ method: "ia3", config: {} }, /./],
      [compose({ one: lora({ rank: 2 }), two: ia3() }), /^one\./],
      [{ method: "pissa", config: { rank: 2 } }, /./],
    ] as const
  ) {
    const { result } = trainInWorker({ ...base, method });
    const data = await result;
    assert.match(Object.keys(data.params)[0]!, leaf);
    const adapter = await adapterFromData(data, model);
    dispose(adapter.params);
  }
});

Deno.test("a signal ends the work with its reason; so does leaving the loop", async () => {
  const reason = new Error("enough");
  const stop = new AbortController();
  const long = { ...run, training: { ...run.training, epochs: 1e4, maxSteps: 1e4 } };
  const aborted = trainInWorker(long, { signal: stop.signal });
  const steps: number[] = [];
  await assert.rejects(async () => {
    for await (const { step } of aborted) {
      steps.push(step);
      if (step === 2) stop.abort(reason);
    }
  }, (error) => error === reason);
  await assert.rejects(aborted.result, (error) => error === reason);
  assert.deepEqual(steps.slice(0, 2), [1, 2]);
  assert.ok(steps.length < 1000);

  const left = trainInWorker(long);
  for await (const { step } of left) if (step === 1) break;
  assert.equal(await left.result.catch(errorCode), "CANCELLED");

  const before = trainInWorker(long, { signal: AbortSignal.abort(reason) });
  await assert.rejects(before.result, (error) => error === reason);

  const early = new AbortController();
  const writing = generateInWorker({ model: MODEL, prompts: ["a"], maxNewTokens: 500, backend: ON_WASM }, {
    signal: early.signal,
  });
  early.abort(reason); // before it is even loaded
  await assert.rejects(writing.result, (error) => error === reason);
});

Deno.test("errors come across with class, code and cause; what is no data is refused at once", async () => {
  const missing = trainInWorker({ ...run, model: "no/such/folder" });
  await assert.rejects(missing.result, { code: "MODEL_NOT_FOUND" });
  await assert.rejects(async () => {
    for await (const _ of missing);
  }, { code: "MODEL_NOT_FOUND" });
  const unknown = trainInWorker({ ...run, method: { method: "lorra", config: {} } });
  await assert.rejects(unknown.result, (error) => {
    assert.ok(error instanceof RangeError);
    assert.equal(errorCode(error), "METHOD_UNKNOWN");
    assert.match(error.message, /did you mean "lora"/);
    return true;
  });
  const fast = {
    ...run,
    training: { ...run.training, learningRate: 1e300, schedule: { kind: "constant" } as const },
  };
  await assert.rejects(trainInWorker(fast).result, { code: "LOSS_NOT_FINITE", name: "RangeError" });
  await assert.rejects(trainInWorker({ ...run, data: [] }).result, { code: "DATA_INVALID" });
  const { definition: _, ...nameless } = lora({ rank: 2 });
  assert.throws(() => trainInWorker({ ...run, method: nameless }), { code: "CANNOT_SAVE" });
  const program = new URL("data:text/javascript,throw new Error('broken')");
  await assert.rejects(trainInWorker(run, { program }).result, { code: "BACKEND_FAILED" });
});

Deno.test("nothing is left in this thread", () => {
  const { live } = memory(backend);
  model.dispose();
  assert.equal(memory(backend).live, 0, `${live} before the model was freed`);
});
