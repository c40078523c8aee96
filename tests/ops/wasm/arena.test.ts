import assert from "node:assert/strict";
import * as fc from "fast-check";
import { sizeClass } from "../../../ops/wasm/arena.ts";
import { wasm } from "../../../ops/wasm/mod.ts";
import { mergeAxes } from "../../../tensor/walk.ts";

Deno.test("sizeClass() holds what was asked with at most 6 % unused above 1 KiB", () =>
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (bytes) => {
      const size = sizeClass(bytes);
      assert.ok(size >= bytes && size % 64 === 0, `${bytes} got ${size}`);
      if (bytes > 1024) assert.ok(size <= bytes * 1.0625 + 1, `${bytes} got ${size}`);
      assert.equal(sizeClass(size), size);
    }),
  ));

Deno.test("mergeAxes() keeps the offsets of every element", () =>
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.nat(3), fc.nat(3)), { maxLength: 5 }),
      (axes) => {
        const sizes = axes.map((a) => a[0]);
        const operands = [axes.map((a) => a[1]), axes.map((a) => a[2])];
        const offsets = (sizes: readonly number[], steps: readonly number[]) =>
          sizes.reduce<number[]>(
            (all, n, axis) => all.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * steps[axis]!)),
            [0],
          );
        const merged = mergeAxes(sizes, operands);
        operands.forEach((steps, i) =>
          assert.deepEqual(offsets(merged.sizes, merged.strides[i]!), offsets(sizes, steps))
        );
      },
    ),
  ));

Deno.test("allocate() of wasm gives released memory out again and pooled() counts it", async () => {
  const backend = await wasm({ threads: 1 });
  const before = backend.pooled();
  const first = backend.allocate(100_000) as { pointer: number };
  const pointer = first.pointer;
  backend.release(first, 100_000);
  assert.equal(backend.pooled() - before, sizeClass(100_000));
  const second = backend.allocate(99_999) as { pointer: number };
  assert.equal(second.pointer, pointer);
  assert.equal(backend.pooled(), before);
  backend.close();
});

Deno.test("allocate() of wasm keeps blocks apart and a loop of steps does not grow memory", async () => {
  const backend = await wasm({ threads: 1 });
  const step = () => {
    const sizes = Array.from({ length: 50 }, (_, i) => (i * 7919) % 90_000);
    const blocks = sizes.map((bytes, i) => {
      const raw = backend.allocate(bytes);
      backend.upload(raw, new Uint8Array(bytes).fill(i + 1));
      return raw;
    });
    blocks.forEach((raw, i) => {
      const bytes = backend.download(raw, sizes[i]!) as Uint8Array;
      assert.ok(bytes.every((x) => x === i + 1));
      backend.release(raw, sizes[i]!);
    });
    return backend.pooled();
  };
  const after = step();
  for (let i = 0; i < 5; i++) assert.equal(step(), after);
  backend.close();
});

Deno.test("allocate() of wasm keeps no more than was held at once, however the sizes change", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 1, max: 3_000_000 }), { minLength: 1, maxLength: 6 }), {
        maxLength: 8,
      }),
      async (steps) => {
        const backend = await wasm({ threads: 1 });
        const room = backend.pooled();
        let most = 0;
        for (const sizes of steps) {
          most = Math.max(most, sizes.reduce((sum, bytes) => sum + sizeClass(bytes), 0));
          const blocks = sizes.map((bytes) => backend.allocate(bytes));
          blocks.forEach((raw, i) => backend.release(raw, sizes[i]!));
          assert.ok(backend.pooled() - room <= most + 4096);
        }
        backend.close();
      },
    ),
    { numRuns: 30 },
  ));

Deno.test("allocate() of wasm says what is held when memory is exhausted, and gives pooled memory back first", async () => {
  const backend = await wasm({ threads: 1 });
  assert.throws(() => backend.allocate(5 * 2 ** 30), /Cannot allocate 5120.0 MiB: 0.0 MiB are held/);
  const blocks = [1, 2, 3].map(() => backend.allocate(2 ** 30));
  assert.throws(() => backend.allocate(1.5 * 2 ** 30), /3072.0 MiB are held/);
  for (const raw of blocks) backend.release(raw, 2 ** 30);
  const large = backend.allocate(1.5 * 2 ** 30); // fits only when the pooled blocks went back
  backend.upload(large, Uint8Array.of(7), 1.5 * 2 ** 30 - 1);
  backend.release(large, 1.5 * 2 ** 30);
  backend.close();
});

Deno.test("upload() and download() of wasm copy, at an offset too", async () => {
  const backend = await wasm({ threads: 2 });
  const raw = backend.allocate(8);
  backend.upload(raw, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  backend.upload(raw, Uint8Array.of(9, 9), 3);
  const bytes = backend.download(raw, 7) as Uint8Array;
  backend.upload(raw, new Uint8Array(8));
  assert.deepEqual([...bytes], [1, 2, 3, 9, 9, 6, 7]);
  assert.ok(bytes.buffer instanceof ArrayBuffer);
  backend.close();
});

Deno.test("kernels of wasm refuse released memory and a closed backend", async () => {
  const backend = await wasm({ threads: 2 });
  const x = { raw: backend.allocate(4), shape: [1], dtype: "f32" as const };
  backend.release(x.raw, 4);
  assert.throws(() => backend.unary("exp", x, x), /its memory was released/);
  assert.throws(() => backend.release(x.raw, 4), /Cannot release 4 bytes twice/);
  assert.throws(() => backend.download(x.raw, 4), /the memory was released/);
  backend.close();
  backend.close();
  assert.throws(() => backend.allocate(4), /it was closed/);
});

Deno.test("wasm() refuses odd numbers of threads", async () => {
  for (const threads of [0, 1.5, -1, 65, NaN]) await assert.rejects(wasm({ threads }), RangeError);
});

Deno.test("wasm() needs no permission, and a program that does not close it ends", async () => {
  const url = new URL("../../../ops/wasm/mod.ts", import.meta.url).href;
  const code =
    `const { wasm } = await import("${url}"); const b = await wasm({ threads: 2 }); console.log(b.name);`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", `data:text/javascript,${encodeURIComponent(code)}`],
    signal: AbortSignal.timeout(20_000),
  }).output();
  assert.equal(new TextDecoder().decode(stdout).trim(), "wasm");
});

Deno.test("a thousand small jobs in a row leave no task behind, with workers awake and asleep", async () => {
  const backend = await wasm({ threads: 3 });
  const n = 60_000;
  const x = { raw: backend.allocate(4 * n), shape: [n], dtype: "f32" as const };
  const y = { raw: backend.allocate(4 * n), shape: [n], dtype: "f32" as const };
  for (let i = 0; i < 1000; i++) {
    backend.fill(i, x);
    backend.unary("square", x, y);
    if (i % 100 === 0) {
      await new Promise((done) => setTimeout(done, 2));
      const values = new Float32Array((backend.download(y.raw, 4 * n) as Uint8Array<ArrayBuffer>).buffer);
      assert.ok(values.every((v) => v === i * i), `job ${i}`);
    }
  }
  backend.close();
});
