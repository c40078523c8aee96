/** Codecs against bitsandbytes 0.50, gguf and torch: golden/reference_codecs.json, made by oracles/reference_codecs.py. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { byteLength, type CodebookType, type DType, layout, size } from "../../../tensor/mod.ts";
import { decode, encode } from "../../../ops/reference/codecs/mod.ts";
import { encodeNested } from "../../../ops/reference/codecs/codebook.ts";
import { book, SIGNED, UNSIGNED } from "../../../tensor/codebook.ts";
import golden from "../../oracles/golden/reference_codecs.json" with { type: "json" };

/** The generator of reference_codecs.py. */
function made(seed: number, n: number, spread = 8): Float32Array<ArrayBuffer> {
  let state = seed;
  const word = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 16;
  let scale = 1;
  return Float32Array.from({ length: n }, (_, i) => {
    if (i % 32 === 0) scale = 2 ** -(word() % spread);
    return (word() + word() + word() + word() - 131070) / 32768 * scale;
  });
}

const unpack = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.fromBase64(text);
const floats = (text: string): Float32Array => new Float32Array(unpack(text).buffer);

function encoded(dtype: DType, values: Float32Array, shape: readonly number[] = [values.length]) {
  const bytes = new Uint8Array(byteLength(dtype, shape)).fill(0xAB);
  encode(dtype, values, shape, bytes);
  return bytes;
}
const decoded = (dtype: DType, bytes: Uint8Array, shape: readonly number[]) =>
  decode(dtype, bytes, shape) as Float32Array;

function input(kind: string, n: number, seed = n): Float32Array<ArrayBuffer> {
  if (kind === "zeros") return new Float32Array(n);
  const values = made(seed, n);
  return kind === "bf16" ? decoded("bf16", encoded("bf16", values), [n]) as typeof values : values;
}

Deno.test("encode() gives bitsandbytes' NF4 and FP4 codes and scales bit for bit", () => {
  for (const { n, kind, dtype, codes, absmax, values } of golden.four) {
    const bytes = encoded(dtype as CodebookType, input(kind, n));
    const at = layout(dtype as DType, [n]);
    const expected = unpack(codes);
    assert.deepEqual(bytes.subarray(0, expected.length), expected, `${dtype} ${kind} ${n} codes`);
    assert.deepEqual(bytes.slice(at.scales, at.end), unpack(absmax), `${dtype} ${kind} ${n} absmax`);
    if (values) assert.deepEqual(decoded(dtype as DType, bytes, [n]), floats(values));
  }
});

/** Distance of two f32 values in representable steps. */
function steps(a: number, b: number): number {
  const [x, y] = new Int32Array(Float32Array.of(a, b).buffer);
  return Math.abs(x! - y!);
}

Deno.test("encode() gives bitsandbytes' double quantization", () => {
  for (const { n, kind, dtype, codes, scales, nested, offset, absmax, ...rest } of golden.double) {
    const seed = "seed" in rest ? rest.seed : n;
    const bytes = encoded(dtype as DType, input(kind, n, seed));
    const at = layout(dtype as DType, [n]);
    const name = `${dtype} ${kind} ${n}`;
    const [first, second] = [unpack(codes), unpack(scales)];
    assert.deepEqual(bytes.subarray(0, first.length), first, name);
    // torch sums a mean in an order that depends on its vector width: the last bit of the offset may differ.
    const found = new Float32Array(bytes.buffer, at.offset, 1)[0]!;
    assert.ok(steps(found, floats(offset)[0]!) <= 1, `${name}: offset ${found}`);
    assert.deepEqual(bytes.subarray(at.scales, at.scales + second.length), second, name);
    // With bitsandbytes' own offset the whole second level is equal bit for bit.
    const plain = encoded(dtype.slice(0, 3) as DType, input(kind, n, seed));
    const blocks = new Float32Array(plain.buffer, layout(dtype.slice(0, 3) as DType, [n]).scales);
    const level = encodeNested(blocks.map((x) => x - floats(offset)[0]!));
    assert.deepEqual(level.codes, second, name);
    assert.deepEqual(level.absmax, floats(nested), name);
    // And so are the scales that come back from the stored parts.
    const stored = bytes.slice();
    stored.set(unpack(offset), at.offset);
    stored.set(unpack(nested), at.nested);
    const out = decoded(dtype as DType, stored, [n]);
    const table = book(dtype.slice(0, 3) as CodebookType).values;
    const want = Float32Array.from({ length: n }, (_, i) => {
      const code = (first[i >> 1]! >> (i & 1 ? 0 : 4)) & 15;
      return table[code]! * floats(absmax)[Math.floor(i / 64)]!;
    });
    if (n < 5000) assert.deepEqual(out, want, name);
  }
});

Deno.test("encode() gives bitsandbytes' dynamic 8-bit codes and scales bit for bit", () => {
  assert.deepEqual(SIGNED.values, floats(golden.dynamic8));
  assert.deepEqual(UNSIGNED.values, floats(golden.udynamic8));
  for (const { n, kind, dtype, codes, absmax } of golden.dynamic) {
    const values = input(kind, n);
    const bytes = encoded(dtype as DType, dtype === "udynamic8" ? values.map(Math.abs) : values);
    const at = layout(dtype as DType, [n]);
    assert.deepEqual(bytes.slice(0, n), unpack(codes), `${dtype} ${kind} ${n} codes`);
    assert.deepEqual(bytes.slice(at.scales, at.end), unpack(absmax), `${dtype} ${kind} ${n} absmax`);
  }
});

Deno.test("encode() and decode() give bitsandbytes' int8 rows bit for bit", () => {
  for (const { shape, kind, codes, absmax, values } of golden.int8) {
    const bytes = encoded("int8", input(kind, size(shape), shape[1]!), shape);
    const at = layout("int8", shape);
    assert.deepEqual(bytes.slice(0, size(shape)), unpack(codes), `${shape} ${kind} codes`);
    assert.deepEqual(bytes.slice(at.scales, at.end), unpack(absmax), `${shape} ${kind} absmax`);
    assert.deepEqual(decoded("int8", bytes, shape), floats(values));
  }
});

Deno.test("encode() and decode() give the gguf package's blocks bit for bit", () => {
  for (const { dtype, bytes, values } of golden.gguf) {
    const x = made(5, 512).fill(0, 256 + 32, 256 + 64);
    assert.deepEqual(encoded(dtype as DType, x, [2, 256]), unpack(bytes), dtype);
    assert.deepEqual(decoded(dtype as DType, unpack(bytes), [2, 256]), floats(values), dtype);
  }
  for (const { dtype, bytes, values } of golden.decoded) {
    assert.deepEqual(decoded(dtype as DType, unpack(bytes), [3, 256]), floats(values), dtype);
    assert.deepEqual(
      decode(dtype as DType, unpack(bytes), [3, 256], 256, 512),
      floats(values).slice(256, 512),
    );
    assert.throws(() => encoded(dtype as DType, new Float32Array(256)), /Cannot encode to q\d_k.*q8_0/);
  }
});

Deno.test("encode() rounds as bitsandbytes and gguf do where f32 rounding decides the code", () => {
  for (const { dtype, x, bytes } of golden.ties) {
    const shape = [floats(x).length];
    const expected = unpack(bytes);
    const found = encoded(dtype as DType, floats(x), shape).subarray(0, expected.length);
    assert.deepEqual(found, expected, `${dtype} ${shape}`);
  }
});

Deno.test("encode() gives torch's f16 and bf16", () => {
  const x = floats(golden.half.x);
  for (const dtype of ["f16", "bf16"] as const) {
    const expected = new Uint16Array(unpack(golden.half[dtype]).buffer);
    const found = new Uint16Array(encoded(dtype, x).buffer);
    found.forEach((bits, i) =>
      Number.isNaN(x[i]!)
        ? assert.ok(Number.isNaN(decode(dtype, encoded(dtype, x), [x.length])[i]!))
        : assert.equal(bits, expected[i], `${dtype} of ${x[i]}`)
    );
  }
});

Deno.test("encode() undoes decode() for every 16-bit pattern", () => {
  const every = Uint16Array.from({ length: 65536 }, (_, i) => i);
  for (const dtype of ["f16", "bf16"] as const) {
    const values = decoded(dtype, new Uint8Array(every.buffer), [65536]);
    const back = new Uint16Array(encoded(dtype, values).buffer);
    every.forEach((bits) => Number.isNaN(values[bits]!) || assert.equal(back[bits], bits));
  }
});

Deno.test("encode() maps each value of a four-bit table to its own code", () => {
  // Written out from the definitions: int4 is two's complement / 7, e2m1 and e3m0 are sign · exponent · mantissa.
  const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6].map((m) => m / 6);
  const e3m0 = [0, 0.25, 0.5, 1, 2, 4, 8, 16].map((m) => m / 16);
  const int4 = [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1].map((c) => c / 7);
  const cases = { int4, e2m1: [...e2m1, ...e2m1.map((m) => -m)], e3m0: [...e3m0, ...e3m0.map((m) => -m)] };
  for (const [dtype, table] of Object.entries(cases)) {
    table.forEach((value, code) => {
      if (code === 8) return; // −8/7 and the second zero are never written
      const bytes = encoded(dtype as DType, Float32Array.of(1, 2 * value, 2, -0.1));
      assert.equal(bytes[0]! & 15, code, `${dtype} ${value}`);
      assert.equal(decoded(dtype as DType, bytes, [4])[1], Math.fround(Math.fround(value) * 2));
    });
  }
});

Deno.test("encode() takes the nearest value of every table", () => {
  const types: readonly CodebookType[] = ["nf4", "fp4", "int4", "e2m1", "e3m0"];
  fc.assert(fc.property(
    fc.constantFrom(...types),
    fc.float32Array({ minLength: 1, maxLength: 200, noNaN: true, min: -8, max: 8 }),
    (dtype, x) => {
      const back = decoded(dtype, encoded(dtype, Float32Array.from(x)), [x.length]);
      x.forEach((value, i) => {
        const block = x.slice(i - i % 64, i - i % 64 + 64);
        const absmax = Math.max(...block.map(Math.abs));
        const best = Math.min(...Array.from(book(dtype).values, (v) => Math.abs(v * absmax - value)));
        // 1e-6 of the scale: scaling and midpoints are rounded to f32.
        assert.ok(Math.abs(back[i]! - value) <= best + 1e-6 * absmax + 1e-37);
      });
    },
  ));
});

Deno.test("decode() of a range equals the range of decode()", () => {
  const x = made(1, 6 * 256);
  for (
    const dtype of [
      "f32",
      "f16",
      "bf16",
      "int8",
      "nf4",
      "fp4_double",
      "dynamic8",
      "udynamic8",
      "q8_0",
      "q5_1",
    ] as const
  ) {
    const bytes = encoded(dtype, x, [6, 256]);
    assert.deepEqual(
      decode(dtype, bytes, [6, 256], 512, 1024),
      decode(dtype, bytes, [6, 256]).slice(512, 1024),
      dtype,
    );
  }
});

Deno.test("encode() to integers drops the fraction and stops at the range's ends", () => {
  const x = Float32Array.of(1.9, -1.9, 300, -300, NaN, 1e10, -1e10);
  assert.deepEqual([...encoded("u8", x).subarray(0, 7)], [1, 0, 255, 0, 0, 255, 0]);
  assert.deepEqual(
    [...new Int32Array(encoded("i32", x).buffer)],
    [1, -1, 300, -300, 0, 2 ** 31 - 1, -(2 ** 31)],
  );
});

Deno.test("encode() refuses a last axis without whole blocks", () => {
  assert.throws(() => encode("q8_0", new Float32Array(33), [33], new Uint8Array(34)), RangeError);
});
