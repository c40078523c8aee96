import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { DType } from "../../../tensor/dtype.ts";
import { size } from "../../../tensor/shape.ts";
import { f32, i32, type Input, noise, random } from "../kernel_operands.ts";
import { compare, withBackends } from "./compare.ts";

const exact = { relative: 0 };
const plain = fc.constantFrom<DType>("f32", "i32", "f16", "bf16", "u8");
const UNIT: { readonly [dtype in DType]?: number } = { f32: 4, i32: 4, f16: 2, bf16: 2, u8: 1 };

/** Bytes 1, 2, 3 … of any plain dtype; f32 ones stay clear of NaN, whose payload JavaScript may change. */
function counted(shape: readonly number[], dtype: DType): Input {
  if (dtype === "f32") return random(shape, 5);
  return {
    shape,
    dtype,
    bytes: Uint8Array.from({ length: size(shape) * UNIT[dtype]! }, (_, i) => i * 7 + 1),
  };
}

Deno.test("permute() of wasm equals the reference for every order of axes", () =>
  withBackends((backends) => {
    const cases = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 }).chain((shape) =>
      fc.tuple(fc.constant(shape), fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }), plain)
    );
    fc.assert(
      fc.property(cases, ([shape, axes, dtype]) => {
        const out = { shape: axes.map((axis) => shape[axis]!), dtype };
        compare(backends, `permute ${axes}`, [counted(shape, dtype)], [out], exact, (k, [x], [y]) =>
          k.permute(x!, axes, y!));
      }),
      { numRuns: 200 },
    );
    const out = { shape: [130, 67, 33] };
    compare(backends, "large", [random([33, 67, 130], 1)], [out], exact, (k, [x], [y]) =>
      k.permute(x!, [2, 1, 0], y!));
  }));

const boxes = fc.array(fc.tuple(fc.nat(4), fc.integer({ min: 0, max: 5 }), fc.nat(4)), {
  minLength: 1,
  maxLength: 4,
});

Deno.test("slice() and place() of wasm equal the reference for every box", () =>
  withBackends((backends) =>
    fc.assert(
      fc.property(boxes, plain, (sides, dtype) => {
        const [starts, small] = [sides.map((s) => s[0]), sides.map((s) => s[1])];
        const large = sides.map(([before, n, after]) => before + n + after);
        compare(backends, "slice", [counted(large, dtype)], [{ shape: small, dtype }], exact, (k, [x], [y]) =>
          k.slice(x!, starts, y!));
        compare(backends, "place", [counted(small, dtype)], [{ shape: large, dtype }], exact, (k, [x], [y]) =>
          k.place(x!, starts, y!));
      }),
      { numRuns: 150 },
    )
  ));

Deno.test("concat() of wasm equals the reference along every axis", () =>
  withBackends((backends) =>
    fc.assert(
      fc.property(
        fc.array(fc.nat(4), { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }),
        fc.nat(2),
        plain,
        (shape, widths, at, dtype) => {
          const axis = at % shape.length;
          const along = (n: number) => shape.map((m, i) => i === axis ? n : m);
          const out = { shape: along(widths.reduce((a, b) => a + b, 0)), dtype };
          compare(
            backends,
            "concat",
            widths.map((n) => counted(along(n), dtype)),
            [out],
            exact,
            (k, parts, [y]) => k.concat(parts, axis, y!),
          );
        },
      ),
      { numRuns: 100 },
    )
  ));

/** n indices below limit. */
const indices = (n: number, limit: number, seed: number) =>
  noise(n, seed).map((x) => Math.floor((x + 1) / 2 * limit));

Deno.test("gatherRows() and scatterAddRows() of wasm agree with the reference", () =>
  withBackends((backends) => {
    for (const [rows, width, n] of [[1, 1, 1], [7, 5, 20], [50, 129, 333], [3, 0, 4], [9, 3, 0]] as const) {
      const ids = i32([n], indices(n, rows, 3));
      compare(
        backends,
        "gatherRows",
        [random([rows, width], 1), ids],
        [{ shape: [n, width] }],
        exact,
        (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
      );
      const inputs = [random([n, width], 2), ids];
      compare(
        backends,
        "scatterAddRows",
        inputs,
        [{ shape: [rows, width] }],
        { relative: 1e-6, floor: 1 },
        (k, [x, i], [y]) => k.scatterAddRows(x!, i!, y!),
      );
    }
  }));

Deno.test("gatherLast() and scatterAddLast() of wasm agree with the reference", () =>
  withBackends((backends) => {
    for (const [rows, width, count] of [[1, 1, 1], [6, 9, 4], [400, 130, 77], [3, 5, 0]] as const) {
      const ids = i32([rows, count], indices(rows * count, width, 3));
      compare(
        backends,
        "gatherLast",
        [random([rows, width], 1), ids],
        [{ shape: [rows, count] }],
        exact,
        (k, [x, i], [y]) => k.gatherLast(x!, i!, y!),
      );
      const inputs = [random([rows, count], 2), ids];
      compare(
        backends,
        "scatterAddLast",
        inputs,
        [{ shape: [rows, width] }],
        { relative: 1e-6, floor: 1 },
        (k, [x, i], [y]) => k.scatterAddLast(x!, i!, y!),
      );
    }
  }));

Deno.test("gathers of wasm refuse an index outside and say which", () =>
  withBackends((backends) => {
    const run = (id: number) => () =>
      compare(
        { ...backends, oracle: backends.single },
        "gatherRows",
        [f32([2, 2], [1, 2, 3, 4]), i32([2], [0, id])],
        [{ shape: [2, 2] }],
        exact,
        (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
      );
    run(1)();
    assert.throws(run(2), /Cannot gatherRows: index at position 1 is outside 0 to 1/);
    assert.throws(run(-1), RangeError);
  }));
