import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesSource } from "../../formats/byte_source.ts";
import { openGguf } from "../../formats/gguf.ts";
import { encodeGgufText, encodeGgufValue, long, word } from "../../formats/gguf_metadata.ts";
import type { GgufValue } from "../../formats/gguf_metadata.ts";
import { writeGguf } from "../../formats/gguf_write.ts";
import { byteLength } from "../../tensor/mod.ts";
import type { DType } from "../../tensor/mod.ts";
import { fromBase64, GOLDEN, golden, inFolder } from "./golden.ts";

Deno.test("openGguf() reads every value and tensor type that Python's gguf wrote", () => {
  const file = openGguf(GOLDEN + "kinds.gguf");
  const expected = golden("kinds.json");
  assert.equal(file.version, 3);
  assert.deepEqual(Object.fromEntries(file.metadata), {
    "general.architecture": "test",
    "v.u8": 200,
    "v.i8": -100,
    "v.u16": 60000,
    "v.i16": -30000,
    "v.u32": 4000000000,
    "v.i32": -2000000000,
    "v.f32": Math.fround(0.1),
    "v.yes": true,
    "v.no": false,
    "v.text": "naïve 🙂\n",
    "v.u64": 2n ** 63n + 1n,
    "v.i64": -(2 ** 40),
    "v.f64": 0.1,
    "v.texts": ["a", "", "ü"],
    "v.ints": [1, -2, 3],
    "v.floats": [0.5, -1.5],
    "v.flags": [true, false],
    "v.bytes": [0, 127, 255],
  });
  assert.deepEqual([...file.tensors.keys()], Object.keys(expected));
  for (const [name, t] of file.tensors) {
    const { dtype, shape, bytes } = expected[name];
    assert.deepEqual({ dtype: t.dtype, shape: t.shape }, { dtype, shape }, name);
    assert.deepEqual(t.read(), fromBase64(bytes), name);
  }
  file.close();
});

Deno.test("writeGguf() makes the very bytes that Python's gguf makes", async () => {
  const file = openGguf(GOLDEN + "kinds.gguf");
  await inFolder(async (folder) => {
    await writeGguf(folder + "copy.gguf", file.fields, file.tensors.values());
    assert.deepEqual(Deno.readFileSync(folder + "copy.gguf"), Deno.readFileSync(GOLDEN + "kinds.gguf"));
  });
  file.close();
});

Deno.test("writeGguf() then openGguf() is the identity", async () => {
  const value: fc.Arbitrary<GgufValue> = fc.oneof(
    fc.integer({ min: -32768, max: 32767 }).map((value) => ({ type: "i16" as const, value })),
    fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map((value) => ({ type: "i64" as const, value })),
    fc.double({ noNaN: true }).map((value) => ({ type: "f64" as const, value })),
    fc.string({ unit: "grapheme" }).filter((s) => s.isWellFormed()).map((value) => ({
      type: "string" as const,
      value,
    })),
    fc.array(fc.nat(255)).map((value) => ({ type: "array" as const, of: "u8" as const, value })),
    fc.array(fc.array(fc.boolean()).map((value) => ({ type: "array" as const, of: "bool" as const, value })))
      .map((value) => ({ type: "array" as const, of: "array" as const, value })),
  );
  const one = fc.record({
    dtype: fc.constantFrom<DType>("f32", "f16", "bf16", "i32", "q4_1", "q8_0"),
    lead: fc.array(fc.nat(3), { maxLength: 3 }),
    seed: fc.nat(255),
  });
  const alignment = fc.constantFrom(undefined, 1, 8, 64);
  const made = fc.record({
    fields: fc.dictionary(fc.string({ maxLength: 8 }).filter((s) => s !== "general.alignment"), value, {
      maxKeys: 5,
    }),
    tensors: fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), one, { maxKeys: 5 }),
    alignment,
  });
  await inFolder(async (folder) => {
    await fc.assert(
      fc.asyncProperty(made, async ({ fields, tensors, alignment }) => {
        const map = new Map(Object.entries(fields));
        if (alignment) map.set("general.alignment", { type: "u32", value: alignment });
        const list = Object.entries(tensors).map(([name, { dtype, lead, seed }]) => {
          const shape = [...lead, 32];
          const bytes = new Uint8Array(byteLength(dtype, shape)).map((_, i) => (i * 5 + seed) % 256);
          return { name, dtype, shape, byteLength: bytes.length, read: () => bytes };
        });
        await writeGguf(folder + "made.gguf", map, list);
        const file = openGguf(folder + "made.gguf");
        assert.deepEqual(file.fields, map);
        assert.deepEqual([...file.tensors.keys()], list.map((t) => t.name));
        for (const { name, dtype, shape, read } of list) {
          const back = file.tensors.get(name)!;
          assert.deepEqual({ dtype: back.dtype, shape: back.shape, bytes: back.read() }, {
            dtype,
            shape,
            bytes: read(),
          });
        }
        file.close();
      }),
      { numRuns: 60 },
    );
  });
});

Deno.test("writeGguf() refuses what GGUF cannot hold", async () => {
  const t = (over: object) => ({
    name: "a",
    dtype: "f32" as DType,
    shape: [1],
    byteLength: 4,
    read: () => new Uint8Array(4),
    ...over,
  });
  const none = new Map<string, GgufValue>();
  await assert.rejects(writeGguf("x", none, [t({ dtype: "nf4" })]), /TypeError.*"a".*GGUF has no nf4/);
  await assert.rejects(writeGguf("x", none, [t({}), t({})]), /RangeError.*occurs twice/);
  await assert.rejects(writeGguf("x", none, [t({ name: "n".repeat(64) })]), /RangeError.*more than 63 bytes/);
  await assert.rejects(writeGguf("x", none, [t({ shape: [1, 1, 1, 1, 1] })]), /RangeError.*5 axes/);
  await assert.rejects(
    writeGguf("x", new Map([["k", { type: "u8", value: 256 }]]), []),
    /RangeError.*"k": 256 does not fit u8/,
  );
  await assert.rejects(
    writeGguf("x", new Map([["general.alignment", { type: "u32", value: 12 }]]), []),
    /power of two/,
  );
  await inFolder(async (folder) => {
    await assert.rejects(writeGguf(folder + "x", none, [t({ shape: [2] })]), /expected 8 bytes but found 4/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

const join = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(parts.flatMap((part) => [...part]));
const head = (tensors: number | bigint, fields: number | bigint, version = 3): Uint8Array =>
  join(new TextEncoder().encode("GGUF"), word(version), big(tensors), big(fields));
const big = (n: number | bigint): Uint8Array => new Uint8Array(new BigUint64Array([BigInt(n)]).buffer);
const field = (key: string, value: GgufValue): Uint8Array =>
  join(...encodeGgufText(key), ...encodeGgufValue(key, value));
const info = (
  name: string,
  dims: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
): Uint8Array => join(...encodeGgufText(name), word(dims.length), ...dims.map(big), word(type), big(offset));
const withData = (bytes: Uint8Array, data: number): Uint8Array =>
  join(bytes, new Uint8Array(Math.ceil(bytes.length / 32) * 32 - bytes.length + data));
const open = (...parts: readonly Uint8Array[]) => () => openGguf(bytesSource("bad.gguf", join(...parts)));

Deno.test("openGguf() refuses hostile headers with one clear error each", () => {
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const cases: [() => unknown, RegExp][] = [
    [open(new Uint8Array(3)), /RangeError.*the GGUF header takes 8 bytes/],
    [open(new Uint8Array(64)), /SyntaxError.*not a GGUF file/],
    [open(head(0, 0, 1)), /SyntaxError.*found version 1/],
    [open(head(0, 0, 4)), /SyntaxError.*found version 4/],
    [open(head(0, 0, 3 * 2 ** 24)), /SyntaxError.*big-endian/],
    [open(head(2n ** 63n, 0)), /RangeError.*number of tensors claims 9223372036854775808/],
    [open(head(0, 2n ** 64n - 1n)), /RangeError.*metadata fields claims/],
    [open(head(0, 1), new Uint8Array(12)), /RangeError.*metadata fields claims 1/],
    [
      open(head(0, 1), big(2n ** 60n), new Uint8Array(32)),
      /RangeError.*length of the name of metadata field 0 claims/,
    ],
    [
      open(head(0, 1), long(2), new Uint8Array([0xff, 0xfe]), word(0), new Uint8Array(9)),
      /SyntaxError.*not UTF-8/,
    ],
    [
      open(head(0, 1), ...encodeGgufText("k"), word(13), new Uint8Array(9)),
      /SyntaxError.*"k" has unknown type 13/,
    ],
    [
      open(head(0, 1), ...encodeGgufText("k"), word(7), new Uint8Array([2])),
      /SyntaxError.*truth value but its byte is 2/,
    ],
    [
      open(head(0, 1), ...encodeGgufText("k"), word(9), word(6), big(2n ** 62n)),
      /RangeError.*array "k" claims/,
    ],
    [open(head(0, 1), ...encodeGgufText("k"), ...nested(6)), /SyntaxError.*more than 4 deep/],
    [open(head(0, 2), field("k", u32(1)), field("k", u32(1))), /SyntaxError.*"k" occurs twice/],
    [open(head(0, 1), field("general.alignment", u32(0))), /RangeError.*power of two/],
    [open(head(0, 1), field("general.alignment", u32(33))), /RangeError.*power of two/],
    [
      open(head(0, 1), field("general.alignment", { type: "string", value: "32" })),
      /RangeError.*power of two/,
    ],
    [open(withData(join(head(1, 0), info("a", [1, 1, 1, 1, 1], 0, 0)), 4)), /RangeError.*claims 5 axes/],
    [open(withData(join(head(1, 0), info("a", [2n ** 63n], 0, 0)), 4)), /RangeError.*"a".*too large/],
    [
      open(withData(join(head(1, 0), info("a", [2n ** 32n, 2n ** 32n], 0, 0)), 4)),
      /RangeError.*"a".*too large/,
    ],
    [
      open(withData(join(head(1, 0), info("a", [1], 10, 0)), 84)),
      /RangeError.*"a".*type Q2_K is not supported.*q4_0/,
    ],
    [open(withData(join(head(1, 0), info("a", [1], 99, 0)), 84)), /RangeError.*type 99/],
    [
      open(withData(join(head(1, 0), info("a", [33], 2, 0)), 84)),
      /RangeError.*"a".*multiple of 32 but is 33/,
    ],
    [
      open(withData(join(head(1, 0), info("a", [2], 0, 0)), 7)),
      /RangeError.*"a".*data end at byte .* but the file has/,
    ],
    [open(withData(join(head(1, 0), info("a", [1], 0, 2n ** 63n)), 4)), /RangeError.*"a".*data end/],
    [
      open(withData(join(head(2, 0), info("a", [1], 0, 0), info("b", [1], 0, 0)), 64)),
      /RangeError.*"b".*overlaps/,
    ],
    [
      open(withData(join(head(2, 0), info("a", [1], 0, 0), info("b", [1], 0, 4)), 64)),
      /RangeError.*"b".*not aligned to 32/,
    ],
    [
      open(withData(join(head(2, 0), info("a", [1], 0, 0), info("b", [1], 0, 64)), 96)),
      /RangeError.*"b".*gap/,
    ],
    [
      open(withData(join(head(2, 0), info("a", [1], 0, 0), info("a", [1], 0, 32)), 64)),
      /SyntaxError.*"a".*twice/,
    ],
    [open(withData(join(head(1, 0), info("a.__proto__", [1], 0, 0)), 4)), /SyntaxError.*not allowed/],
  ];
  for (const [run, message] of cases) assert.throws(run, message);
});

/** An array of an array of …, n deep. */
function nested(n: number): Uint8Array[] {
  const layers = Array.from({ length: n }, () => [word(9), long(1)]).flat();
  return [word(9), ...layers, word(0), long(1), new Uint8Array(40)];
}

Deno.test("openGguf() reads version 2 and tensors without axes", () => {
  const file = openGguf(bytesSource("v2", withData(join(head(1, 0, 2), info("a", [], 0, 0)), 4)));
  assert.equal(file.version, 2);
  assert.deepEqual(file.tensors.get("a")!.shape, []);
  assert.equal(file.tensors.get("a")!.read().length, 4);
});

Deno.test("openGguf() reads headers of several windows, wherever a window ends", () => {
  const length = 1 << 20; // the window of the cursor
  for (
    const pad of [length - 100, length - 61, length - 60, length - 59, length - 58, length - 50, 3 * length]
  ) {
    const fields: [string, GgufValue][] = [
      ["pad", { type: "string", value: "x".repeat(pad) }],
      ["u16", { type: "u16", value: 515 }],
      ["list", { type: "array", of: "u32", value: [16909060, 84281096, 151653132] }],
    ];
    const file = openGguf(
      bytesSource("long", join(head(0, 3), ...fields.map(([key, value]) => field(key, value)))),
    );
    assert.deepEqual([...file.fields], fields);
  }
});

Deno.test("openGguf() survives any damage of a good file with a SyntaxError or RangeError", () => {
  const good = Deno.readFileSync(GOLDEN + "kinds.gguf");
  fc.assert(
    fc.property(fc.nat(2000), fc.nat(255), fc.nat(good.length), fc.boolean(), (at, byte, cut, whole) => {
      const bytes = good.slice(0, whole ? good.length : cut);
      if (at < bytes.length) bytes[at] = byte;
      try {
        const file = openGguf(bytesSource("damaged", bytes));
        for (const t of file.tensors.values()) assert.equal(t.read().length, t.byteLength);
      } catch (error) {
        assert.ok(error instanceof SyntaxError || error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
