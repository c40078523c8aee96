/** Both ways to unpack. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { gunzip, gunzipByStream } from "../../platform/gunzip.ts";

for (const [name, unpack] of Object.entries({ gunzip, gunzipByStream })) {
  Deno.test(`${name}() gives what zlib packed, and refuses what is no gzip`, async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), async (bytes) => {
      assert.deepEqual([...await unpack(new Uint8Array(gzipSync(bytes)))], [...bytes]);
    }));
    await assert.rejects(unpack(new Uint8Array([1, 2, 3, 4])));
  });
}
