import assert from "node:assert/strict";
import * as fc from "fast-check";
import { byteLength, type DType, ggufBlock, isGguf } from "../../../tensor/dtype.ts";
import { size } from "../../../tensor/shape.ts";
import { f32, i32, type Input, noise, random, run } from "../kernel_operands.ts";
import { compare, withBackends } from "./compare.ts";
import { CODED, coded } from "../weights.ts";

const exact = { relative: 0 };

/** Shapes with odd sizes and partial blocks that a dtype allows. */
function shapesOf(dtype: DType): readonly (readonly number[])[] {
  if (!isGguf(dtype)) return [[1], [63], [64], [65], [3, 50], [2, 3, 129], [0, 4], [70, 513]];
  const unit = ggufBlock(dtype).elements;
  return [[unit], [3, unit], [2, 2, 3 * unit], [0, unit]];
}

Deno.test("cast() of wasm decodes every dtype to the reference's bits", () =>
  withBackends((backends) => {
    for (const dtype of [...CODED, "udynamic8", "i32", "u8"] as const) {
      for (const shape of shapesOf(dtype)) {
        compare(backends, `decode ${dtype}`, [coded(shape, dtype, 3)], [{ shape }], exact, (k, [x], [y]) =>
          k.cast(x!, y!));
      }
    }
    const all = Uint8Array.from({ length: 131072 }, (_, i) =>
      i & 1 ? i >> 9 : (i >> 1) & 255);
    for (const dtype of ["f16", "bf16"] as const) {
      const every: Input = { shape: [65536], dtype, bytes: all };
      const close = { relative: 0, absolute: 0 };
      compare(backends, `every ${dtype}`, [every], [{ shape: [65536] }], close, (k, [x], [y]) =>
        k.cast(x!, y!));
    }
  }));

Deno.test("gatherRows() of wasm decodes rows of every dtype", () =>
  withBackends((backends) => {
    for (const dtype of CODED) {
      const shape = [5, isGguf(dtype) ? ggufBlock(dtype).elements : 37];
      const ids = i32([4], [4, 0, 3, 3]);
      compare(
        backends,
        `rows of ${dtype}`,
        [coded(shape, dtype, 3), ids],
        [{ shape: [4, shape[1]!] }],
        exact,
        (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
      );
    }
  }));

const WRITTEN = [...CODED.filter((dtype) => !dtype.endsWith("_k")), "udynamic8", "i32", "u8"] as const;

/** Values that meet codes, midpoints and blocks of zeros. */
const lattice = (n: number, seed: number) =>
  noise(n, seed).map((x, i) => i % 97 < 40 ? Math.round(x * 14) / 14 : x);

Deno.test("cast() of wasm encodes every dtype that can be written to the reference's bytes", () =>
  withBackends((backends) => {
    for (const dtype of WRITTEN) {
      for (const shape of shapesOf(dtype)) {
        const n = size(shape);
        for (const values of [noise(n, 1, 3), lattice(n, 2), new Float32Array(n), noise(n, 3, 1e-5)]) {
          compare(
            backends,
            `encode ${dtype}`,
            [f32(shape, values)],
            [{ shape, dtype }],
            exact,
            (k, [x], [y]) => clean(k, x!, y!),
          );
        }
      }
    }
  }));

Deno.test("cast() of wasm rounds halves and integers like the reference at every exponent", () =>
  withBackends((backends) => {
    const bits = fc.uint32Array({ minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(bits, fc.constantFrom<DType>("f16", "bf16", "i32", "u8"), (words, dtype) => {
        // Round bits, and some just beside ties.
        const values = new Float32Array(
          words.map((w, i) => i % 3 === 0 ? (w & 0xFFFFE000) | 0x1000 : w).buffer,
        );
        const shape = [values.length];
        // The payload of NaN does not count.
        const numbers = values.map((x) => Number.isNaN(x) ? NaN : x);
        compare(
          backends,
          `encode ${dtype}`,
          [f32(shape, numbers)],
          [{ shape, dtype }],
          exact,
          (k, [x], [y]) => clean(k, x!, y!),
        );
      }),
      { numRuns: 300 },
    );
    const edges = f32([9], [65504, 65519.99, 65520, 1e9, -Infinity, NaN, 2 ** -24, 2 ** -25, 1.5 * 2 ** -25]);
    compare(
      backends,
      "edges",
      [edges],
      [{ shape: [9], dtype: "f16" }],
      exact,
      (k, [x], [y]) => clean(k, x!, y!),
    );
  }));

Deno.test("cast() of wasm goes from one coded dtype to another", () =>
  withBackends((backends) => {
    const shape = [6, 64];
    for (
      const [from, to] of [["nf4", "int8"], ["q8_0", "nf4_double"], ["f16", "bf16"], ["int8", "int8"], [
        "u8",
        "f16",
      ]] as const
    ) {
      compare(
        backends,
        `${from} to ${to}`,
        [coded(shape, from, 3)],
        [{ shape, dtype: to }],
        exact,
        (k, [x], [y]) => clean(k, x!, y!),
      );
    }
  }));

Deno.test("cast() of wasm refuses to write K-quants and broken blocks", () =>
  withBackends(({ single }) => {
    const cast = (dtype: DType, shape: readonly number[]) => () =>
      run(single, [random(shape, 1)], [], (k, [x]) => k.cast(x!, { raw: x!.raw, shape, dtype }));
    assert.throws(cast("q4_k", [256]), /Cannot encode to q4_k/);
    assert.throws(cast("q4_0", [33]), RangeError);
  }));

/** Casts after clearing the target: padding bytes have no meaning, and both backends may leave them alone. */
function clean(
  k: Parameters<Parameters<typeof compare>[5]>[0],
  x: Parameters<typeof k.cast>[0],
  y: typeof x,
): void {
  k.upload(y.raw, new Uint8Array(byteLength(y.dtype, y.shape)));
  k.cast(x, y);
}
