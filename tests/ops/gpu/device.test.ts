/** What a GPU backend holds, and what it says when something is missing, mixed, too large, lost or closed. */
import assert from "node:assert/strict";
import { BackendMismatchError, memory, read, scope, tensor } from "../../../core/mod.ts";
import { backend as over } from "../../../ops/gpu/backend.ts";
import { type OpenDevice, openDevice } from "../../../ops/gpu/device.ts";
import { gpu } from "../../../ops/gpu/mod.ts";
import { bufferBytes } from "../../../ops/gpu/pool.ts";
import { add, matmul, multiply, sum } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";

/** Runs `f` with another `navigator.gpu`. */
async function withNavigator(value: unknown, f: () => Promise<void>): Promise<void> {
  const own = Object.getOwnPropertyDescriptor(globalThis.navigator, "gpu");
  Object.defineProperty(globalThis.navigator, "gpu", { value, configurable: true });
  try {
    await f();
  } finally {
    if (own) Object.defineProperty(globalThis.navigator, "gpu", own);
    else delete (globalThis.navigator as { gpu?: unknown }).gpu;
  }
}

Deno.test("gpu() says what is missing: WebGPU, an adapter, a limit, f16", async () => {
  await withNavigator(
    undefined,
    () => assert.rejects(gpu(), /this runtime has no WebGPU; .*the wasm backend/),
  );
  const none = { requestAdapter: () => Promise.resolve(null) };
  await withNavigator(
    none,
    () => assert.rejects(gpu(), /no adapter was found; install .*mesa-vulkan-drivers/),
  );
  const limits = {
    maxStorageBuffersPerShaderStage: 8,
    maxComputeInvocationsPerWorkgroup: 128,
    maxComputeWorkgroupStorageSize: 16384,
    maxStorageBufferBindingSize: 2 ** 27,
  };
  const small = { requestAdapter: () => Promise.resolve({ limits, info: { description: "tiny card" } }) };
  const message = /tiny card has maxComputeInvocationsPerWorkgroup 128 but 256 are needed/;
  await withNavigator(small, () => assert.rejects(gpu(), message));
  const enough = { ...limits, maxComputeInvocationsPerWorkgroup: 256, maxBufferSize: 2 ** 28 };
  const plain = { limits: enough, info: { description: "old card" }, features: new Set<string>() };
  await withNavigator(
    { requestAdapter: () => Promise.resolve(plain) },
    () => assert.rejects(gpu({ precision: "f16" }), /in f16: old card has no shader-f16; leave .* at f32/),
  );
});

gpuTest("tensors of gpu and another backend do not mix", () =>
  withGpu((backend) => {
    const [x, y] = [tensor([1, 2], { backend }), tensor([1, 2], { backend: reference() })];
    assert.throws(() => add(x, y), BackendMismatchError);
    x.storage.free();
    y.storage.free();
    return Promise.resolve();
  }));

gpuTest(
  "memory() counts buffers of gpu, 1,000 steps leave nothing, and the pool stays small",
  () =>
    withGpu(async (backend) => {
      const w = tensor(Array.from({ length: 64 }, (_, i) => Array(64).fill(i / 64)), { backend });
      const step = (x: number) =>
        scope(() => sum(multiply(matmul(tensor([Array(64).fill(x)], { backend }), w), 0.5)));
      const before = memory(backend).live;
      assert.equal(before, 4 * 64 * 64);
      let pooled = 0;
      for (let i = 0; i < 1000; i++) {
        const loss = step(i);
        if (i % 100 === 99) {
          const [number] = await read(loss);
          assert.ok(Math.abs(number! - i * 1008) <= 1e-4 * number!, `${number} in step ${i}`);
        }
        loss.storage.free();
        if (i === 200) pooled = backend.pooled();
      }
      assert.equal(memory(backend).live, before);
      assert.ok(backend.pooled() <= 1.1 * pooled, `${backend.pooled()} pooled, ${pooled} before`);
      w.storage.free();
    }),
);

gpuTest("a step of gpu is one submission, and makes nothing anew", () =>
  withGpu(async (backend) => {
    const x = tensor([Array(64).fill(1)], { backend });
    const step = async () => {
      const y = scope(() => sum(multiply(add(x, x), 3)));
      await read(y);
      y.storage.free();
    };
    await step();
    const before = backend.profile();
    await step();
    const after = backend.profile();
    assert.equal(after.submissions - before.submissions, 1);
    assert.equal(after.kernels.get("binaryFlat")!.calls - before.kernels.get("binaryFlat")!.calls, 1);
    x.storage.free();
  }));

Deno.test("bufferBytes() holds what was asked, in multiples of 64, with at most an eighth unused above 1 KiB", () => {
  for (let bytes = 1; bytes < 2 ** 31; bytes = Math.ceil(bytes * 1.037)) {
    const size = bufferBytes(bytes);
    assert.ok(size >= bytes && size % 64 === 0, `${bytes} got ${size}`);
    if (bytes > 1024) assert.ok(size <= bytes * 1.125 + 1, `${bytes} got ${size}`);
    assert.equal(bufferBytes(size), size);
  }
});

gpuTest("gpu says when a budget or a buffer is too small, and goes on", () =>
  withGpu(async (backend) => {
    const message =
      /Cannot allocate 4\.0 MiB on the GPU: .* held and the budget is 2\.0 MiB; use a quantized base/;
    assert.throws(() => backend.allocate(2 ** 22), message);
    assert.throws(() => backend.allocate(2 ** 40), /the largest buffer of this adapter is/);
    // What is only pooled makes room.
    for (let i = 1; i < 40; i++) backend.release(backend.allocate(i * 30_000), i * 30_000);
    await backend.download(backend.allocate(64), 64);
  }, { memoryBytes: 2 ** 21 }));

gpuTest("a lost gpu device says so, at once and at reads", async () => {
  const open = await openDevice();
  const backend = over(open);
  const x = tensor([1, 2], { backend });
  open.device.destroy();
  await assert.rejects(read(x), /The GPU device was lost .*call gpu\(\) again/);
  assert.throws(() => backend.unary("exp", x, x), /The GPU device was lost/);
  x.storage.free();
  backend.close();
  assert.throws(() => backend.allocate(4), /it was closed/);
});

gpuTest("gpu reports what the device reports later: out of memory, a refused call", async () => {
  const open: OpenDevice = await openDevice();
  const backend = over(open);
  open.device.pushErrorScope("validation");
  await open.device.popErrorScope();
  open.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  // Deno reports at once, Chromium when something waits for the device.
  await assert.rejects(async () => {
    await backend.download(backend.allocate(64), 64);
  }, /The GPU refused a call: /);
  backend.close();
});

gpuTest(
  "a number that was filled in on gpu may be overwritten by a kernel",
  () =>
    withGpu(async (backend) => {
      const scalar = () => ({ raw: backend.allocate(4), shape: [1], dtype: "f32" as const });
      const [x, y, z] = [scalar(), scalar(), scalar()];
      backend.fill(3, x);
      backend.fill(4, y);
      backend.binary("multiply", y, x, z); // reads numbers
      backend.unary("square", z, x); // writes where a number was
      backend.binary("add", z, x, y);
      assert.deepEqual([...new Float32Array((await backend.download(y.raw, 4)).buffer)], [156]);
    }),
);
