import assert from "node:assert/strict";
import { selfTest } from "../../../cli/doctor/self_test.ts";
import type { Backend } from "../../../tensor/backend.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { wasm } from "../../../ops/wasm/mod.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";

Deno.test("selfTest() finds the kernels of wasm right, and sees one that is wrong, one that writes nothing and one that throws", async () => {
  const backend = await wasm({ threads: 1 });
  const results = await selfTest(backend);
  assert.ok(results.length >= 30, String(results.length));
  assert.deepEqual(results.filter(({ good }) => !good), []);
  const broken: Backend = {
    ...backend,
    softmax: (x, y) => backend.unary("exp", x, y),
    rope: () => {},
    argmax: () => {
      throw new Error("no such instruction");
    },
  };
  const bad = (await selfTest(broken)).filter(({ good }) => !good);
  assert.deepEqual(bad.map(({ kernel }) => kernel).sort(), ["argmax", "rope", "softmax"]);
  assert.equal(bad.find(({ kernel }) => kernel === "argmax")!.failed, "no such instruction");
  backend.close();
});

Deno.test("selfTest() leaves out what a backend lacks", async () => {
  const { orderStatistic: _, ...rest } = reference();
  const results = await selfTest(rest);
  assert.ok(results.every(({ kernel, error }) => kernel !== "orderStatistic" && error === 0));
});

gpuTest(
  "selfTest() finds the kernels of the gpu right",
  () => withGpu(async (gpu) => assert.deepEqual((await selfTest(gpu)).filter(({ good }) => !good), [])),
);
