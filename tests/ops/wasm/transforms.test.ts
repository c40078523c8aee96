/** The Walsh–Hadamard kernel of wasm against the reference: sizes on both sides of a block, numbers that are not finite. */
import * as fc from "fast-check";
import { f32, random } from "../kernel_operands.ts";
import { compare, withBackends } from "./compare.ts";

Deno.test("walshHadamard() of wasm agrees with the reference at every length", () =>
  withBackends((backends) => {
    fc.assert(
      fc.property(fc.nat(5), fc.nat(14), fc.nat(1000), (rows, bits, seed) => {
        const shape = [rows, 2 ** bits];
        // 1e-6 of the largest: log₂ K ≤ 14 roundings on the way to sums that cancel.
        compare(backends, `walshHadamard of 2^${bits}`, [random(shape, seed)], [{ shape }], {
          relative: 1e-6,
          floor: 1,
        }, (k, [x], [y]) => k.walshHadamard!(x!, y!));
      }),
      { numRuns: 60 },
    );
    for (const bits of [16, 19]) {
      const shape = [1, 2 ** bits];
      compare(backends, `walshHadamard of 2^${bits}`, [random(shape, 3)], [{ shape }], {
        relative: 1e-6,
        floor: 1,
      }, (k, [x], [y]) => k.walshHadamard!(x!, y!));
    }
  }));

Deno.test("walshHadamard() of wasm keeps infinities, NaN and subnormals as the reference does", () =>
  withBackends((backends) => {
    const rows = [
      [Infinity, 1, 2, 3],
      [Infinity, Infinity, 0, 0],
      [Infinity, -Infinity, 1, 1],
      [NaN, 0, 0, 0],
      [1e-44, -3e-44, 1e-40, 0],
      [-0, -0, 0, -0],
    ];
    for (const width of [4, 8, 32]) {
      const values = rows.flatMap((row) => [...row, ...Array.from({ length: width - 4 }, () => 0)]);
      compare(
        backends,
        `special rows of ${width}`,
        [f32([rows.length, width], values)],
        [{
          shape: [rows.length, width],
        }],
        { relative: 0 },
        (k, [x], [y]) => k.walshHadamard!(x!, y!),
      );
    }
  }));
