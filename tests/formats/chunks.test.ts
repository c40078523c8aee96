import assert from "node:assert/strict";
import { type ByteSource, bytesSource, fileSource } from "../../formats/byte_source.ts";
import { chunks } from "../../formats/chunks.ts";
import { inFolder, joined } from "./golden.ts";

const numbers = Uint8Array.from({ length: 2 ** 19 + 7 }, (_, i) => (i * 31 + (i >> 9)) % 251);

async function fromBoth(check: (source: ByteSource) => void): Promise<void> {
  check(bytesSource("in memory", numbers));
  await inFolder((folder) => {
    Deno.writeFileSync(folder + "numbers", numbers);
    const source = fileSource(folder + "numbers");
    try {
      check(source);
    } finally {
      source.close();
    }
  });
}

Deno.test("chunks() are a range from first to last in one small buffer", () =>
  fromBoth((source) => {
    for (const [offset, length] of [[0, numbers.length], [3, 2 ** 18], [5, 9], [7, 0]] as const) {
      const bytes = joined(chunks(source, offset, length));
      assert.equal(bytes.length, length);
      assert.equal(bytes.findIndex((byte, i) => byte !== numbers[offset + i]), -1);
    }
    const [first, second] = [...chunks(source, 0, numbers.length)];
    assert.equal(first!.buffer, second!.buffer);
    assert.ok(first!.buffer.byteLength <= 2 ** 20);
  }));

Deno.test("chunks() refuses a range outside its source, and a file that was cut since", async () => {
  await fromBoth((source) => {
    assert.throws(() => joined(chunks(source, numbers.length - 2, 3)), /Cannot read 3 bytes at 524293/);
  });
  await inFolder((folder) => {
    const path = folder + "numbers";
    Deno.writeFileSync(path, numbers);
    const source = fileSource(path);
    Deno.truncateSync(path, 2 ** 18 + 4);
    assert.throws(() => joined(chunks(source, 0, numbers.length)), /it was cut to 262148 bytes/);
    source.close();
    assert.throws(() => joined(chunks(source, 0, 4)), /it was closed/);
  });
});
