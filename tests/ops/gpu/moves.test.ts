import assert from "node:assert/strict";
import fc from "fast-check";
import { byteLength, type DType } from "../../../tensor/dtype.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { compare, runOn } from "./compare.ts";
import { EXACT, summed } from "./tolerances.ts";
import { f32, i32, type Input, noise, random } from "../kernel_operands.ts";

const plain = fc.constantFrom<DType>("f32", "i32", "f16", "bf16", "u8");

/** Bytes that differ from place to place; f32 ones stay clear of NaN, whose payload JavaScript may change. */
function counted(shape: readonly number[], dtype: DType): Input {
  if (dtype === "f32") return random(shape, 5);
  return { shape, dtype, bytes: Uint8Array.from({ length: byteLength(dtype, shape) }, (_, i) => i * 7 + 1) };
}

gpuTest("permute() of gpu equals the reference for every order of axes", () =>
  withGpu(async (gpu) => {
    const orders = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 }).chain((shape) =>
      fc.tuple(fc.constant(shape), fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }), plain)
    );
    await fc.assert(
      fc.asyncProperty(orders, async ([shape, axes, dtype]) => {
        const out = { shape: axes.map((axis) => shape[axis]!), dtype };
        await compare(gpu, `permute ${axes}`, [counted(shape, dtype)], [out], EXACT, (k, [x], [y]) =>
          k.permute(x!, axes, y!));
      }),
      { numRuns: 60 },
    );
    const out = { shape: [130, 67, 33] };
    await compare(gpu, "large", [random([33, 67, 130], 1)], [out], EXACT, (k, [x], [y]) =>
      k.permute(x!, [2, 1, 0], y!));
  }));

gpuTest("slice(), place() and concat() of gpu equal the reference for every box", () =>
  withGpu((gpu) => {
    const sides = fc.array(fc.tuple(fc.nat(4), fc.nat(5), fc.nat(4)), { minLength: 1, maxLength: 4 });
    return fc.assert(
      fc.asyncProperty(sides, plain, fc.nat(3), async (sides, dtype, at) => {
        const [starts, small] = [sides.map((s) => s[0]), sides.map((s) => s[1])];
        const large = sides.map(([before, n, after]) => before + n + after);
        await compare(
          gpu,
          "slice",
          [counted(large, dtype)],
          [{ shape: small, dtype }],
          EXACT,
          (k, [x], [y]) => k.slice(x!, starts, y!),
        );
        await compare(
          gpu,
          "place",
          [counted(small, dtype)],
          [{ shape: large, dtype }],
          EXACT,
          (k, [x], [y]) => k.place(x!, starts, y!),
        );
        const axis = at % sides.length;
        const along = (n: number) => small.map((m, i) => i === axis ? n : m);
        const out = { shape: along(large[axis]!), dtype };
        const parts = sides[axis]!.map((n) => counted(along(n), dtype));
        await compare(gpu, "concat", parts, [out], EXACT, (k, parts, [y]) => k.concat(parts, axis, y!));
      }),
      { numRuns: 60 },
    );
  }));

/** n indices below limit. */
const indices = (n: number, limit: number) => noise(n, 3).map((x) => Math.floor((x + 1) / 2 * limit));

gpuTest(
  "gatherRows() and scatterAddRows() of gpu agree with the reference, in the order of the ids",
  () =>
    withGpu(async (gpu) => {
      for (
        const [rows, width, n] of [[1, 1, 1], [7, 5, 20], [50, 129, 333], [3, 0, 4], [9, 3, 0], [
          2,
          4,
          500,
        ]] as const
      ) {
        const ids = i32([n], indices(n, rows));
        await compare(
          gpu,
          "gatherRows",
          [random([rows, width], 1), ids],
          [{ shape: [n, width] }],
          EXACT,
          (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
        );
        const inputs = [random([n, width], 2), ids];
        await compare(
          gpu,
          "scatterAddRows",
          inputs,
          [{ shape: [rows, width] }],
          summed(n),
          (k, [x, i], [y]) => k.scatterAddRows(x!, i!, y!),
        );
        const [one, two] = [await scattered(gpu, inputs, rows), await scattered(gpu, inputs, rows)];
        assert.deepEqual(one, two);
      }
    }),
);

/** The bytes of a scatter. */
const scattered = (gpu: Parameters<typeof runOn>[0], inputs: readonly Input[], rows: number) =>
  runOn(
    gpu,
    inputs,
    [{ shape: [rows, inputs[0]!.shape[1]!] }],
    (k, [x, i], [y]) => k.scatterAddRows(x!, i!, y!),
  );

gpuTest("gatherLast() and scatterAddLast() of gpu agree with the reference", () =>
  withGpu(async (gpu) => {
    for (const [rows, width, count] of [[1, 1, 1], [6, 9, 4], [400, 130, 77], [3, 5, 0]] as const) {
      const ids = i32([rows, count], indices(rows * count, width));
      for (const x of [random([rows, width], 1), i32([rows, width], noise(rows * width, 4, 99))]) {
        const out = [{ shape: [rows, count], dtype: x.dtype }];
        await compare(gpu, "gatherLast", [x, ids], out, EXACT, (k, [x, i], [y]) => k.gatherLast(x!, i!, y!));
      }
      const inputs = [random([rows, count], 2), ids];
      await compare(
        gpu,
        "scatterAddLast",
        inputs,
        [{ shape: [rows, width] }],
        summed(count),
        (k, [x, i], [y]) => k.scatterAddLast(x!, i!, y!),
      );
    }
  }));

gpuTest(
  "gpu refuses indices and labels outside at the next read, says which, and goes on",
  () =>
    withGpu(async (gpu) => {
      const table = f32([2, 2], [1, 2, 3, 4]);
      const rows = (id: number) => () =>
        runOn(
          gpu,
          [table, i32([2], [0, id])],
          [{ shape: [2, 2] }],
          (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
        );
      const label = (id: number) => () =>
        runOn(
          gpu,
          [table, i32([2], [-100, id])],
          [{ shape: [2] }, { shape: [2] }],
          (k, [x, l], [y, s]) => k.crossEntropy(x!, l!, 0, y!, s!),
        );
      const last = (id: number) => () =>
        runOn(
          gpu,
          [table, i32([2, 1], [0, id])],
          [{ shape: [2, 1] }],
          (k, [x, i], [y]) => k.gatherLast(x!, i!, y!),
        );
      const adds = (id: number) => () =>
        runOn(
          gpu,
          [table, i32([2], [0, id])],
          [{ shape: [2, 2] }],
          (k, [x, i], [y]) => k.scatterAddRows(x!, i!, y!),
        );
      for (const id of [2, -1]) {
        await assert.rejects(rows(id), /Cannot gatherRows: index at position 1 is outside 0 to 1/);
        await assert.rejects(adds(id), /Cannot scatterAddRows: index at position 1 is outside 0 to 1/);
        await assert.rejects(last(id), /Cannot gatherLast: index at position 1 is outside 0 to 1/);
        await assert.rejects(
          label(id),
          /Cannot take the crossEntropy of the label in row 1: labels are 0 to 1, or -100/,
        );
      }
      await rows(1)();
      await label(-100)();
    }),
);
