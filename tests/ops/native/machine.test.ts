/** What the native backend has of its own; its kernels are compared with the reference's beside those of wasm. */
import assert from "node:assert/strict";
import { libraryPath, startNative } from "../../../ops/native/machine.ts";
import { isNativeBuilt, native } from "../../../ops/native/mod.ts";
import record from "../../../ops/wasm/lib/SOURCE_HASH.json" with { type: "json" };
import { assertSameBits, productBytes } from "../product_bytes.ts";

const ignore = !isNativeBuilt();

Deno.test("native() says how to build a library that is missing", () => {
  assert.throws(() => native({ library: "/nowhere/lib.so" }), {
    message:
      `Cannot open the native kernels "/nowhere/lib.so": build them for this machine with 'deno task native' (it needs Rust), ` +
      "or use the wasm backend",
  });
});

Deno.test("native() refuses odd numbers of threads", () => {
  for (const threads of [0, 1.5, -1, 1025, NaN]) assert.throws(() => native({ threads }), RangeError);
});

Deno.test({
  name: "the native library tells the sources that it was built from",
  ignore,
  fn: () => {
    const library = libraryPath();
    assert.throws(
      () => startNative(library, 1, "0".repeat(64)),
      /built from other sources than these; build them again/,
    );
    startNative(library, 1, record.sources).stop();
  },
});

Deno.test({
  name: "native() is open once in a thread, and again after close",
  ignore,
  fn: () => {
    const first = native({ threads: 2 });
    assert.throws(() => native(), /one is open in this thread; close it first/);
    first.close();
    assert.throws(() => first.allocate(64), /it was closed/);
    native({ threads: 1 }).close();
  },
});

Deno.test({
  name: "matmul() of native gives the same bits for any number of threads",
  ignore,
  fn: () => {
    const runs = new Map<number, ReadonlyMap<string, Uint8Array>>();
    for (const threads of [1, 2, 3, 5]) {
      const backend = native({ threads });
      try {
        runs.set(threads, productBytes(backend));
      } finally {
        backend.close();
      }
    }
    assertSameBits(runs);
  },
});

Deno.test({
  name: "native memory goes beyond 4 GiB",
  ignore,
  fn: () => {
    const backend = native({ threads: 1 });
    const n = 1_150_000_000;
    const raw = backend.allocate(4 * n); // untouched pages take no memory
    const out = { raw: backend.allocate(8), shape: [2], dtype: "f32" as const };
    backend.upload(raw, new Uint8Array(Float32Array.of(7, 8).buffer), 4 * (n - 2));
    backend.slice({ raw, shape: [n], dtype: "f32" }, [n - 2], out);
    const bytes = backend.download(out.raw, 8) as Uint8Array;
    assert.deepEqual([...new Float32Array(bytes.buffer, bytes.byteOffset, 2)], [7, 8]);
    backend.release(raw, 4 * n);
    backend.release(out.raw, 8);
    backend.close();
  },
});
