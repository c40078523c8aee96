import assert from "node:assert/strict";
import fc from "fast-check";
import type { Backend } from "../../../tensor/backend.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { compare } from "./compare.ts";
import { EXACT, LONG_SUM, ROUNDED, ROW, SOFTMAX, summed } from "./tolerances.ts";
import { f32, i32, noise, random } from "../kernel_operands.ts";

const REDUCTIONS = ["sum", "max", "min"] as const;
const SIZES = [[1, 1], [3, 5], [2, 64], [17, 515], [1, 40_000], [0, 4]] as const;

gpuTest("reduce() of gpu agrees with the reference", () =>
  withGpu(async (gpu) => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.nat(5), fc.nat(40), fc.nat(70)),
        fc.constantFrom(...REDUCTIONS),
        async ([outer, n, inner], op) => {
          const [x, shape] = [random([outer, n, inner], 1), [outer, inner]];
          const near = op === "sum" ? summed(n) : EXACT;
          await compare(gpu, op, [x], [{ shape }], near, (k, [x], [y]) =>
            k.reduce(op, x!, outer, n, inner, y!));
        },
      ),
      { numRuns: 60 },
    );
    for (
      const [outer, n, inner] of [[1, 200_003, 1], [300, 1000, 1], [2, 3000, 130], [1, 70_001, 3]] as const
    ) {
      // All positive, so the relative error shows that long sums are wider than f32.
      const x = f32([outer, n, inner], noise(outer * n * inner, 2).map(Math.abs));
      await compare(gpu, "long sum", [x], [{ shape: [outer, inner] }], LONG_SUM, (k, [x], [y]) =>
        k.reduce("sum", x!, outer, n, inner, y!));
    }
    const special = f32([2, 3], [NaN, 1, 2, Infinity, -Infinity, 0]);
    for (const op of REDUCTIONS) {
      for (const [outer, n, inner, shape] of [[2, 3, 1, [2]], [1, 2, 3, [3]]] as const) {
        await compare(gpu, op, [special], [{ shape }], EXACT, (k, [x], [y]) =>
          k.reduce(op, x!, outer, n, inner, y!));
      }
    }
  }));

gpuTest("argmax() of gpu gives the first of equals, like the reference", () =>
  withGpu(async (gpu) => {
    const cases = [[1, 1], [5, 7], [40, 1001], [0, 3]].map(([rows, width]) =>
      f32([rows!, width!], noise(rows! * width!, 4, 3).map(Math.round))
    );
    const special = [[NaN, 1, 2], [1, NaN, 2], [-Infinity, -Infinity, -Infinity], [5, Infinity, Infinity]];
    for (const x of [...cases, f32([4, 3], special.flat())]) {
      const out = { shape: [x.shape[0]!], dtype: "i32" as const };
      await compare(gpu, "argmax", [x], [out], EXACT, (k, [x], [y]) => k.argmax(x!, y!));
    }
  }));

gpuTest("softmax() and softmaxGrad() of gpu agree with the reference", () =>
  withGpu(async (gpu) => {
    for (const [rows, width] of SIZES) {
      const shape = [rows, width];
      await compare(gpu, "softmax", [random(shape, 1, 30)], [{ shape }], SOFTMAX, (k, [x], [y]) =>
        k.softmax(x!, y!));
      const y = f32(
        shape,
        noise(rows * width, 2).map((x) =>
          Math.abs(x) / width
        ),
      );
      await compare(gpu, "softmaxGrad", [y, random(shape, 3)], [{ shape }], ROW, (k, [y, g], [dx]) =>
        k.softmaxGrad(y!, g!, dx!));
    }
    const special = f32([3, 2], [-Infinity, -Infinity, -Infinity, 3, NaN, 0]);
    await compare(gpu, "softmax", [special], [{ shape: [3, 2] }], EXACT, (k, [x], [y]) =>
      k.softmax(x!, y!));
  }));

gpuTest(
  "crossEntropy() and crossEntropyGrad() of gpu agree with the reference",
  () =>
    withGpu(async (gpu) => {
      for (const [rows, width] of SIZES) {
        for (const smoothing of [0, 0.1]) {
          const chosen = noise(rows, 1).map((x, i) => i % 3 === 2 ? -100 : Math.floor((x + 1) / 2 * width));
          const inputs = [random([rows, width], 1, 8), i32([rows], chosen)];
          const column = { shape: [rows] };
          await compare(
            gpu,
            "crossEntropy",
            inputs,
            [column, column],
            ROW,
            (k, [x, l], [loss, lse]) => k.crossEntropy(x!, l!, smoothing, loss!, lse!),
          );
          const more = [...inputs, random([rows], 5), f32([rows], noise(rows, 6).map((x) => 9 + x))];
          await compare(
            gpu,
            "crossEntropyGrad",
            more,
            [{ shape: [rows, width] }],
            ROW,
            (k, [x, l, g, s], [dx]) => k.crossEntropyGrad(x!, l!, smoothing, s!, g!, dx!),
          );
        }
      }
    }),
);

gpuTest(
  "rmsNorm(), layerNorm() and their gradients of gpu agree with the reference",
  () =>
    withGpu(async (gpu) => {
      for (const [rows, width] of SIZES) {
        const [shape, column] = [[rows, width], { shape: [rows] }];
        const [x, w, b, g] = [random(shape, 1, 3), random([width], 2), random([width], 3), random(shape, 4)];
        await compare(
          gpu,
          "rmsNorm",
          [x, w],
          [{ shape }, column],
          ROW,
          (k, [x, w], [y, i]) => k.rmsNorm(x!, w!, 1e-5, y!, i!),
        );
        await compare(
          gpu,
          "layerNorm",
          [x, w, b],
          [{ shape }, column, column],
          ROW,
          (k, [x, w, b], [y, m, i]) => k.layerNorm(x!, w!, b!, 1e-5, y!, m!, i!),
        );
        const [inverse, mean] = [f32([rows], noise(rows, 5).map((x) => 0.6 + x / 9)), random([rows], 6, 0.1)];
        await compare(
          gpu,
          "rmsNormGrad",
          [x, w, inverse, g],
          [{ shape }],
          ROW,
          (k, [x, w, i, g], [dx]) => k.rmsNormGrad(x!, w!, i!, g!, dx!),
        );
        await compare(
          gpu,
          "layerNormGrad",
          [x, w, mean, inverse, g],
          [{ shape }],
          ROW,
          (k, [x, w, m, i, g], [dx]) => k.layerNormGrad(x!, w!, m!, i!, g!, dx!),
        );
      }
    }),
);

gpuTest("rope() of gpu agrees with the reference, forward and back", () =>
  withGpu(async (gpu) => {
    for (
      const [b, t, h, d, tables] of [[1, 1, 1, 2, 1], [2, 3, 2, 10, 1], [2, 5, 3, 64, 2], [
        3,
        40,
        4,
        36,
        1,
      ]] as const
    ) {
      const table = [tables, t, d / 2];
      const inputs = [random([b, t, h, d], 1), random(table, 2), random(table, 3)];
      for (const inverse of [false, true]) {
        await compare(
          gpu,
          "rope",
          inputs,
          [{ shape: [b, t, h, d] }],
          { ...ROUNDED, floor: 1 },
          (k, [x, c, s], [y]) => k.rope(x!, c!, s!, inverse, y!),
        );
      }
    }
  }));

/** Rows over workgroups of 64 and 256, which are eight subgroups and more on an adapter whose subgroups have eight. */
async function rowsOfACard(gpu: Backend): Promise<void> {
  for (const [rows, width] of [[2, 70], [1, 1500]] as const) {
    const [shape, column] = [[rows, width], { shape: [rows] }];
    const [x, w, b] = [random(shape, 1, 3), random([width], 2), random([width], 3)];
    await compare(gpu, "softmax", [x], [{ shape }], SOFTMAX, (k, [x], [y]) => k.softmax(x!, y!));
    await compare(
      gpu,
      "layerNorm",
      [x, w, b],
      [{ shape }, column, column],
      ROW,
      (k, [x, w, b], [y, m, i]) => k.layerNorm(x!, w!, b!, 1e-5, y!, m!, i!),
    );
    const labels = i32([rows], noise(rows, 1).map((x) => Math.floor((x + 1) / 2 * width)));
    await compare(
      gpu,
      "crossEntropy",
      [x, labels],
      [column, column],
      ROW,
      (k, [x, l], [loss, lse]) => k.crossEntropy(x!, l!, 0.1, loss!, lse!),
    );
    for (const op of REDUCTIONS) {
      const near = op === "sum" ? summed(width) : EXACT;
      await compare(gpu, op, [x], [column], near, (k, [x], [y]) => k.reduce(op, x!, rows, width, 1, y!));
    }
  }
  // A NaN or an infinity in any subgroup decides.
  for (const value of [NaN, Infinity, -Infinity, -0]) {
    for (const at of [0, 9, 69]) {
      const x = f32([1, 70], noise(70, 3).map((x) => -Math.abs(x)).with(at, value));
      for (const op of ["max", "min"] as const) {
        await compare(
          gpu,
          `${op} with ${value} at ${at}`,
          [x],
          [{ shape: [1] }],
          EXACT,
          (k, [x], [y]) => k.reduce(op, x!, 1, 70, 1, y!),
        );
      }
    }
  }
  const nothing = f32([1, 70], new Float32Array(70).fill(-Infinity));
  await compare(gpu, "nothing", [nothing], [{ shape: [1, 70] }], EXACT, (k, [x], [y]) => k.softmax(x!, y!));
}

gpuTest("rows of gpu are joined by subgroups as by workgroup memory", async () => {
  await withGpu(async (gpu) => {
    if (/llvmpipe/.test(gpu.adapter)) assert.ok(gpu.subgroups, "llvmpipe has subgroups");
    await rowsOfACard(gpu);
  }, { workgroups: "card" });
  await withGpu(async (gpu) => {
    assert.ok(!gpu.subgroups);
    await rowsOfACard(gpu);
  }, { workgroups: "card", subgroups: false });
});
