import assert from "node:assert/strict";
import { dispose, fromBytes, fromChunks, read, scope } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";

const numbers = Float32Array.from({ length: 15 }, (_, i) => i / 4);

/** The numbers' bytes in one buffer that each chunk overwrites. */
function* shared(lengths: readonly number[]): Generator<Uint8Array, void> {
  const room = new Uint8Array(numbers.byteLength);
  let done = 0;
  for (const length of lengths) {
    room.set(new Uint8Array(numbers.buffer, done, length));
    done += length;
    yield room.subarray(0, length);
    room.fill(255);
  }
}

Deno.test("fromChunks() is fromBytes() of the chunks together, which may share a buffer", async () => {
  for (const backend of [reference(), await wasm({ threads: 1 })]) {
    const results = scope(() => ({
      chunks: fromChunks(shared([8, 4, 48]), [3, 5], "f32", backend),
      whole: fromBytes(new Uint8Array(numbers.buffer), [3, 5], "f32", backend),
    }));
    assert.deepEqual(await read(results.chunks), await read(results.whole));
    dispose(results);
    backend.close();
  }
});

Deno.test("fromChunks() refuses too few and too many bytes", () => {
  const backend = reference();
  for (const lengths of [[8, 4], [8, 52, 0], [48, 12, 0], [60]]) {
    const bytes = lengths.reduce((a, b) => a + b);
    assert.throws(
      () => scope(() => fromChunks(shared(lengths), [7, 2], "f32", backend)),
      new RangeError(`Cannot make f32[7, 2] from ${bytes} bytes: it takes 56`),
    );
  }
  assert.equal(scope((): number => fromChunks([], [0, 2], "f32", backend).size), 0);
});
