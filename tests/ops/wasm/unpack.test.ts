/** Kernels that travel as text. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { unpacked } from "../../../ops/wasm/unpack.ts";

/** An empty module, and one whose only function has an instruction that no runtime has. */
const EMPTY = [0, 97, 115, 109, 1, 0, 0, 0];
const UNKNOWN = [...EMPTY, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 7, 1, 5, 0, 0xfd, 0xff, 0x7f, 11];

const packed = (bytes: readonly number[]): string => gzipSync(Uint8Array.from(bytes)).toString("base64");

Deno.test("unpacked() compiles what was packed", async () => {
  const module = await unpacked(packed(EMPTY));
  assert.ok(module instanceof WebAssembly.Module);
  assert.deepEqual(WebAssembly.Module.exports(module), []);
});

Deno.test("unpacked() says which runtime lacks instructions, and which have them", async () => {
  await assert.rejects(unpacked(packed(UNKNOWN)), /Deno lacks instructions .*relaxed SIMD.*Node 22/);
});
