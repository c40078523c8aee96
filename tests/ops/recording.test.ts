/** What a step calls on shapes against what the same step calls on a backend that computes. */
import assert from "node:assert/strict";
import { adapt, dispose } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { fullFineTune, lora } from "../../methods/mod.ts";
import { shapesOn } from "../../core/trees/shapes_on.ts";
import { KERNEL_NAMES, recordingShapes } from "../../ops/recording.ts";
import { reference } from "../../ops/reference/mod.ts";
import { secondsOfAll, timeCalls } from "../../ops/timed_calls.ts";
import { rowsFrom, startTraining } from "../../train/mod.ts";
import { GOLDEN } from "../support/golden.ts";
import { callCounter } from "./call_counter.ts";

const path = `${GOLDEN}llama_lora/base`;
const rows = rowsFrom([9, 6].map((length) => {
  const inputIds = Array.from({ length }, (_, t) => (5 * t + length) % 37);
  return { inputIds, labels: inputIds };
}));
const options = { learningRate: 0.01, batching: { kind: "buckets", batchSize: 2 }, pad: 0 } as const;

for (const method of [lora({ rank: 2, targets: "all-linear" }), fullFineTune()]) {
  Deno.test(`recordingShapes() sees what a step of ${method.name} calls`, async () => {
    const counter = callCounter(reference());
    const model = await loadModel(path, { backend: counter.backend });
    const recorder = recordingShapes(reference());
    const shapes = shapesOn(checkpointShapes(path), recorder.backend);
    for (const [one, reset] of [[model, counter.reset], [shapes, recorder.take]] as const) {
      const adapter = adapt(one, method);
      const run = await startTraining(one, adapter, rows, options);
      reset();
      await run.next();
      run.dispose();
      dispose(adapter.params);
    }
    const recorded = new Map<string, number>();
    for (const { call, count } of recorder.take().values()) {
      const sizes = call.signature.match(/\[[0-9,]*\]/g) ?? [];
      const name = `${call.kernel} ${sizes.join(" ")}`;
      recorded.set(name, (recorded.get(name) ?? 0) + count);
    }
    assert.deepEqual([...recorded].sort(), [...counter.calls()].sort());
    assert.ok(recorded.size > 20);
  });
}

Deno.test("recordingShapes() has the kernels that the backend has, and no others", () => {
  const like = { ...reference(), capacity: 77 };
  const { backend } = recordingShapes(like);
  for (const name of KERNEL_NAMES) assert.equal(backend[name] === undefined, like[name] === undefined, name);
  assert.equal(backend.capacity, 77);
  assert.equal(recordingShapes({ ...like, qr: undefined } as never).backend.qr, undefined);
});

Deno.test("timeCalls() measures what a kernel takes, on operands that overlap as they did, and each kind once", async () => {
  const recorder = recordingShapes(reference());
  const raw = recorder.backend.allocate(24);
  const x = { raw, shape: [2, 3], dtype: "f32" as const };
  for (let i = 0; i < 5; i++) recorder.backend.unary("exp", x, { ...x, shape: [6] });
  recorder.backend.fill(0, x);
  const counts = recorder.take();
  let calls = 0;
  const slow = {
    ...reference(),
    unary: (_: unknown, from: { readonly raw: unknown }, to: { readonly raw: unknown }) => {
      calls++;
      assert.equal(from.raw, to.raw);
      for (const start = performance.now(); performance.now() - start < 30;);
    },
  };
  const seconds = await timeCalls(slow as never, counts);
  assert.equal(calls, 2); // once to get ready
  const all = secondsOfAll(counts, seconds);
  assert.ok(all >= 0.15 && all < 0.6, String(all)); // five of 0.03
  await timeCalls(slow as never, counts, seconds);
  assert.equal(calls, 2);
});
