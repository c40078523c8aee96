import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesSource } from "../../formats/byte_source.ts";
import { openSafetensors, openSafetensorsIndex } from "../../formats/safetensors.ts";
import { encodeSafetensors, writeSafetensors } from "../../formats/safetensors_write.ts";
import { byteLength } from "../../tensor/mod.ts";
import type { DType } from "../../tensor/mod.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { fromBase64, GOLDEN, golden, inFolder, joined } from "./golden.ts";

const tensor = (name: string, dtype: DType, shape: number[], bytes?: Uint8Array): StoredTensor => ({
  name,
  dtype,
  shape,
  byteLength: byteLength(dtype, shape),
  read: () => bytes ?? new Uint8Array(byteLength(dtype, shape)),
});

/** A file with any header, to be refused. */
function hostile(header: string | Uint8Array, data = 0, length?: bigint): () => void {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return () => openSafetensors(bytesSource("bad.safetensors", bytes));
}

Deno.test("openSafetensors() reads what Python's safetensors wrote", () => {
  const expected = golden("plain.json");
  const file = openSafetensors(GOLDEN + "plain.safetensors");
  assert.deepEqual([...file.tensors.keys()].sort(), Object.keys(expected).sort());
  assert.deepEqual([...file.metadata], [["format", "pt"]]);
  for (const [name, t] of file.tensors) {
    if (name === "i64_wide") continue;
    const { dtype, shape, bytes } = expected[name];
    assert.deepEqual({ dtype: t.dtype, shape: t.shape }, { dtype, shape }, name);
    assert.deepEqual(t.read(), fromBase64(bytes), name);
    assert.equal(t.byteLength, t.read().length, name);
    assert.equal(t.chunks === undefined, /^(f64|i8|i16|i64)/.test(name), name);
    if (t.chunks) assert.deepEqual(joined(t.chunks()), t.read(), name);
  }
  assert.throws(
    () => file.tensors.get("i64_wide")!.read(),
    /^RangeError: Cannot read tensor "i64_wide" of .* as i32: element 0 is 2147483648$/,
  );
  file.close();
  file.close();
  assert.throws(() => file.tensors.get("f32")!.read(), /was closed/);
});

Deno.test("writeSafetensors() makes the very bytes that Python's safetensors makes", async () => {
  const file = openSafetensors(GOLDEN + "plain.safetensors");
  await inFolder(async (folder) => {
    await writeSafetensors(folder + "copy.safetensors", file.raw.values());
    assert.deepEqual(
      Deno.readFileSync(folder + "copy.safetensors"),
      Deno.readFileSync(GOLDEN + "plain.safetensors"),
    );
  });
  file.close();
});

Deno.test("encodeSafetensors() then openSafetensors() is the identity", async () => {
  const dtypes = ["f32", "f16", "bf16", "i32", "u8"] as const;
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 })
    .filter((text) =>
      !text.split(".").includes("__proto__") && text !== "__metadata__" && text.isWellFormed()
    );
  const one = fc.record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(255),
  });
  await fc.assert(fc.asyncProperty(fc.dictionary(name, one, { maxKeys: 6 }), async (made) => {
    const tensors = Object.entries(made).map(([name, { dtype, shape, seed }]) =>
      tensor(name, dtype, shape, new Uint8Array(byteLength(dtype, shape)).map((_, i) => (i * 7 + seed) % 256))
    );
    const file = openSafetensors(bytesSource("made", await encodeSafetensors(tensors)));
    assert.equal(file.tensors.size, tensors.length);
    for (const { name, dtype, shape, read } of tensors) {
      const back = file.tensors.get(name)!;
      assert.deepEqual({ dtype: back.dtype, shape: back.shape, bytes: back.read() }, {
        dtype,
        shape,
        bytes: read(),
      });
    }
  }));
});

Deno.test("writeSafetensors() reads tensors one at a time and leaves nothing behind when one fails", async () => {
  await inFolder(async (folder) => {
    const path = folder + "model.safetensors";
    Deno.writeTextFileSync(path, "old");
    const good = tensor("a", "f32", [2]);
    const short = tensor("b", "f32", [2], new Uint8Array(7));
    await assert.rejects(writeSafetensors(path, [good, short]), /tensor "b" .* expected 8 bytes but found 7/);
    await assert.rejects(
      writeSafetensors(path, [{ ...good, read: () => Promise.reject(new Error("lazy")) }]),
      /lazy/,
    );
    assert.equal(Deno.readTextFileSync(path), "old");
    assert.deepEqual([...Deno.readDirSync(folder)].map((e) => e.name), ["model.safetensors"]);
    let live = 0;
    const lazy = (name: string) => ({
      ...tensor(name, "f32", [2]),
      async read() {
        assert.equal(++live, 1);
        await Promise.resolve();
        live--;
        return new Uint8Array(8);
      },
    });
    await writeSafetensors(path, ["x", "y", "z"].map(lazy));
    const file = openSafetensors(path);
    assert.deepEqual([...file.tensors.keys()], ["x", "y", "z"]);
    file.close();
  });
});

Deno.test("writeSafetensors() refuses names that repeat and dtypes that it has not", () => {
  assert.throws(
    () => writeSafetensors("x", [tensor("a", "f32", [1]), tensor("a", "u8", [1])]),
    /"a" occurs twice/,
  );
  assert.throws(() => writeSafetensors("x", [tensor("a", "nf4", [64])]), /^TypeError: .*"a".* has no nf4/);
  assert.throws(() => writeSafetensors("x", [tensor("a.__proto__", "f32", [1])]), /SyntaxError/);
});

Deno.test("openSafetensors() refuses hostile headers with one clear error each", () => {
  const entry = (dtype: string, shape: string, offsets: string) =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
  const ok = entry("F32", "[2]", "[0,8]");
  const cases: [() => void, RegExp][] = [
    [() => openSafetensors(bytesSource("b", new Uint8Array(7))), /RangeError.*at least 8 bytes/],
    [hostile("{}", 0, 3n), /RangeError.*claims 3 bytes but only 2 follow/],
    [hostile("{}", 0, 100_000_001n), /RangeError.*at most 100000000/],
    [hostile("{}", 0, 2n ** 64n - 1n), /RangeError.*at most 100000000/],
    [hostile("{", 0), /SyntaxError: Cannot parse the header of bad.safetensors/],
    [hostile(new Uint8Array([0x7b, 0xff, 0x7d])), /SyntaxError/],
    [hostile("[]"), /SyntaxError.*not a JSON object/],
    [hostile(`{"a":[]}`), /SyntaxError.*"a".*not an object/],
    [hostile(`{"a":${ok},"a":${ok}}`, 8), /SyntaxError.*"a" occurs twice/],
    [hostile(`{"a":${ok},"\\u0061":${ok}}`, 8), /SyntaxError.*"a" occurs twice/],
    [hostile(`{"__proto__":${ok}}`, 8), /SyntaxError.*"__proto__" is not allowed/],
    [hostile(`{"x.__proto__.y":${ok}}`, 8), /SyntaxError.*not allowed as a tensor name/],
    [hostile(`{"":${ok}}`, 8), /SyntaxError/],
    [hostile(`{"a":${entry("F8_E4M3", "[8]", "[0,8]")}}`, 8), /SyntaxError.*"a".*"F8_E4M3" is not supported/],
    [hostile(`{"a":${entry("toString", "[8]", "[0,8]")}}`, 8), /SyntaxError.*"toString" is not supported/],
    [hostile(`{"a":${entry("F32", "[-2]", "[0,8]")}}`, 8), /SyntaxError.*"a".*shape \[-2\]/],
    [hostile(`{"a":${entry("F32", "[2.5]", "[0,10]")}}`, 10), /SyntaxError.*shape \[2.5\]/],
    [hostile(`{"a":${entry("F32", "2", "[0,8]")}}`, 8), /SyntaxError.*shape 2/],
    [
      hostile('{"a":{"shape":[2],"data_offsets":[0,8]}}', 8),
      /SyntaxError.*"a" of .*: its header entry has no dtype/,
    ],
    [hostile('{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8), /SyntaxError.*"a".*header entry has no shape/],
    [hostile(`{"a":${entry("F32", "[2]", "[0]")}}`, 8), /SyntaxError.*data_offsets \[0\]/],
    [hostile(`{"a":${entry("F32", "[2]", "[-8,0]")}}`, 8), /SyntaxError.*data_offsets \[-8,0\]/],
    [hostile(`{"a":${entry("F32", "[2]", "[8,0]")}}`, 8), /RangeError.*has -8/],
    [hostile(`{"a":${entry("F32", "[3]", "[0,8]")}}`, 8), /RangeError.*F32 \[3\] takes 12 bytes but.* has 8/],
    [hostile(`{"a":${entry("F32", "[4294967296,4294967296,0,9]", "[0,8]")}}`, 8), /RangeError/],
    [hostile(`{"a":${entry("U8", "[9007199254740991,1025]", "[0,9007199254740991]")}}`, 8), /RangeError/],
    [hostile(`{"a":${ok}}`, 7), /RangeError.*end at byte.*but the file has/],
    [hostile(`{"a":${ok}}`, 9), /RangeError.*1 bytes after the last tensor/],
    [
      hostile(`{"a":${ok},"b":${entry("F32", "[2]", "[4,12]")}}`, 12),
      /RangeError.*"b".*overlaps.*expected 8/,
    ],
    [hostile(`{"a":${ok},"b":${ok}}`, 8), /RangeError.*"b".*overlaps/],
    [hostile(`{"a":${ok},"b":${entry("F32", "[2]", "[9,17]")}}`, 17), /RangeError.*"b".*gap.*expected 8/],
    [hostile(`{"a":${entry("F32", "[2]", "[4,12]")}}`, 12), /RangeError.*"a".*gap/],
    [hostile(`{"__metadata__":{"a":1}}`), /SyntaxError.*__metadata__/],
    // Before it is parsed, since each level takes memory; brackets in texts are none.
    [hostile(`{"a":${"[".repeat(10_000_000)}`), /SyntaxError.*nest more than 128 deep/],
    [hostile(`{"\\"${"[".repeat(200)}":[]}`), /SyntaxError.*not an object/],
  ];
  for (const [open, message] of cases) assert.throws(open, message);
});

Deno.test("openSafetensors() survives any damage of a good file with a SyntaxError or RangeError", async () => {
  const good = await encodeSafetensors([tensor("a", "f32", [3]), tensor("b", "u8", [2, 2])]);
  fc.assert(fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, cut) => {
    const bytes = good.slice(0, cut);
    if (at < cut) bytes[at] = byte;
    try {
      const file = openSafetensors(bytesSource("damaged", bytes));
      for (const t of file.tensors.values()) assert.equal(t.read().length, t.byteLength);
    } catch (error) {
      assert.ok(error instanceof SyntaxError || error instanceof RangeError, String(error));
    }
  }));
});

Deno.test("openSafetensorsIndex() joins shards and names what is missing", async () => {
  await inFolder(async (folder) => {
    const index = (map: unknown) => {
      Deno.writeTextFileSync(folder + "model.safetensors.index.json", JSON.stringify({ weight_map: map }));
      return () => openSafetensorsIndex(folder + "model.safetensors.index.json");
    };
    await writeSafetensors(folder + "s1.safetensors", [
      tensor("a", "f32", [1], new Uint8Array([1, 2, 3, 4])),
    ]);
    await writeSafetensors(folder + "s2.safetensors", [
      tensor("b", "u8", [1]),
      tensor("unlisted", "u8", [1]),
    ]);
    const file = index({ a: "s1.safetensors", b: "s2.safetensors" })();
    assert.deepEqual([...file.tensors.keys()], ["a", "b"]);
    assert.deepEqual([...file.tensors.get("a")!.read()], [1, 2, 3, 4]);
    file.close();
    assert.throws(
      index({ a: "s3.safetensors" }),
      /RangeError.*shard "s3.safetensors" with tensor "a" is missing/,
    );
    assert.throws(index({ b: "s1.safetensors" }), /RangeError.*shard "s1.safetensors" has no tensor "b"/);
    assert.throws(index({ a: "../s1.safetensors" }), /SyntaxError.*no file name in its folder/);
    assert.throws(index({ a: 1 }), /SyntaxError/);
    assert.throws(index(undefined), /SyntaxError.*weight_map/);
  });
});
