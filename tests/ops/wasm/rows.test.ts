import assert from "node:assert/strict";
import * as fc from "fast-check";
import { f32, i32, noise, random } from "../kernel_operands.ts";
import { compare, withBackends } from "./compare.ts";

Deno.test("reduce() of wasm agrees with the reference", () =>
  withBackends((backends) => {
    const sizes = fc.tuple(fc.nat(5), fc.nat(40), fc.nat(70));
    fc.assert(
      fc.property(
        sizes,
        fc.constantFrom("sum" as const, "max" as const, "min" as const),
        ([outer, n, inner], op) => {
          // 1e-6 of the largest: the sum of up to 40 numbers, some of which cancel.
          const tolerance = op === "sum" ? { relative: 1e-6, floor: 1 } : { relative: 0 };
          compare(
            backends,
            op,
            [random([outer, n, inner], 1)],
            [{ shape: [outer, inner] }],
            tolerance,
            (k, [x], [y]) => k.reduce(op, x!, outer, n, inner, y!),
          );
        },
      ),
    );
    for (const [outer, n, inner] of [[1, 200_003, 1], [300, 1000, 1], [2, 3000, 130]] as const) {
      const x = f32([outer, n, inner], noise(outer * n * inner, 2).map(Math.abs));
      // All positive, so the relative error shows that long sums are wider than f32: 1e-6 where naive f32 gives 1e-4.
      compare(backends, "sum", [x], [{ shape: [outer, inner] }], { relative: 1e-6 }, (k, [x], [y]) =>
        k.reduce("sum", x!, outer, n, inner, y!));
    }
    const special = f32([2, 3], [NaN, 1, 2, Infinity, -Infinity, 0]);
    for (const op of ["sum", "max", "min"] as const) {
      compare(backends, op, [special], [{ shape: [2] }], { relative: 0 }, (k, [x], [y]) =>
        k.reduce(op, x!, 2, 3, 1, y!));
    }
  }));

Deno.test("argmax() of wasm gives the first of equals, like the reference", () =>
  withBackends((backends) => {
    for (const [rows, width] of [[1, 1], [5, 7], [40, 1001], [0, 3]] as const) {
      const values = noise(rows * width, 4, 3).map(Math.round);
      compare(backends, "argmax", [f32([rows, width], values)], [{ shape: [rows], dtype: "i32" }], {
        relative: 0,
      }, (k, [x], [y]) => k.argmax(x!, y!));
    }
    const special = f32([4, 3], [
      NaN,
      1,
      2,
      1,
      NaN,
      2,
      -Infinity,
      -Infinity,
      -Infinity,
      5,
      Infinity,
      Infinity,
    ]);
    compare(
      backends,
      "argmax",
      [special],
      [{ shape: [4], dtype: "i32" }],
      { relative: 0 },
      (k, [x], [y]) => k.argmax(x!, y!),
    );
  }));

const rowSizes = [[1, 1], [3, 5], [2, 64], [17, 515], [1, 40_000], [0, 4]] as const;

Deno.test("softmax() and softmaxGrad() of wasm agree with the reference", () =>
  withBackends((backends) => {
    for (const [rows, width] of rowSizes) {
      const shape = [rows, width];
      // e^x at |x| = 30 turns the rounding of x − max into 30 · 2^-24.
      compare(backends, "softmax", [random(shape, 1, 30)], [{ shape }], { relative: 3e-6 }, (k, [x], [y]) =>
        k.softmax(x!, y!));
      const inputs = [
        f32(
          shape,
          noise(rows * width, 2).map((x) =>
            Math.abs(x) / width
          ),
        ),
        random(shape, 3),
      ];
      compare(backends, "softmaxGrad", inputs, [{ shape }], { relative: 2e-6, floor: 1 }, (k, [y, g], [dx]) =>
        k.softmaxGrad(y!, g!, dx!));
    }
    const special = f32([3, 2], [-Infinity, -Infinity, -Infinity, 3, NaN, 0]);
    compare(backends, "softmax", [special], [{ shape: [3, 2] }], { relative: 0 }, (k, [x], [y]) =>
      k.softmax(x!, y!));
  }));

Deno.test("crossEntropy() and crossEntropyGrad() of wasm agree with the reference", () =>
  withBackends((backends) => {
    for (const [rows, width] of rowSizes) {
      for (const smoothing of [0, 0.1]) {
        const labels = i32(
          [rows],
          noise(rows, 1).map((x, i) => i % 3 === 2 ? -100 : Math.floor((x + 1) / 2 * width)),
        );
        const inputs = [random([rows, width], 1, 8), labels];
        const outputs = [{ shape: [rows] }, { shape: [rows] }];
        compare(
          backends,
          "crossEntropy",
          inputs,
          outputs,
          { relative: 2e-6, floor: 0.1 },
          (k, [x, l], [loss, lse]) => k.crossEntropy(x!, l!, smoothing, loss!, lse!),
        );
        const more = [...inputs, random([rows], 5), f32([rows], noise(rows, 6).map((x) => 9 + x))];
        compare(backends, "crossEntropyGrad", more, [{ shape: [rows, width] }], {
          relative: 2e-6,
          floor: 0.01,
        }, (k, [x, l, g, lse], [dx]) => k.crossEntropyGrad(x!, l!, smoothing, lse!, g!, dx!));
      }
    }
    assert.throws(
      () =>
        compare(backends, "label", [random([1, 3], 1), i32([1], [3])], [{ shape: [1] }, { shape: [1] }], {
          relative: 0,
        }, (k, [x, l], [a, b]) => k.crossEntropy(x!, l!, 0, a!, b!)),
      RangeError,
    );
    assert.throws(
      () =>
        backends.single.crossEntropy(
          { raw: {}, shape: [1, 3], dtype: "f16" },
          { raw: {}, shape: [1], dtype: "i32" },
          0,
          { raw: {}, shape: [1], dtype: "f32" },
          { raw: {}, shape: [1], dtype: "f32" },
        ),
    );
  }));

Deno.test("rmsNorm(), layerNorm() and their gradients of wasm agree with the reference", () =>
  withBackends((backends) => {
    const near = { relative: 2e-6, floor: 1 };
    for (const [rows, width] of rowSizes) {
      const shape = [rows, width];
      const [x, w, b, g] = [random(shape, 1, 3), random([width], 2), random([width], 3), random(shape, 4)];
      const column = { shape: [rows] };
      compare(
        backends,
        "rmsNorm",
        [x, w],
        [{ shape }, column],
        near,
        (k, [x, w], [y, i]) => k.rmsNorm(x!, w!, 1e-5, y!, i!),
      );
      compare(
        backends,
        "layerNorm",
        [x, w, b],
        [{ shape }, column, column],
        near,
        (k, [x, w, b], [y, m, i]) => k.layerNorm(x!, w!, b!, 1e-5, y!, m!, i!),
      );
      const [inverse, mean] = [f32([rows], noise(rows, 5).map((x) => 0.6 + x / 9)), random([rows], 6, 0.1)];
      compare(
        backends,
        "rmsNormGrad",
        [x, w, inverse, g],
        [{ shape }],
        near,
        (k, [x, w, i, g], [dx]) => k.rmsNormGrad(x!, w!, i!, g!, dx!),
      );
      compare(
        backends,
        "layerNormGrad",
        [x, w, mean, inverse, g],
        [{ shape }],
        near,
        (k, [x, w, m, i, g], [dx]) => k.layerNormGrad(x!, w!, m!, i!, g!, dx!),
      );
    }
  }));

Deno.test("rope() of wasm agrees with the reference, forward and back", () =>
  withBackends((backends) => {
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
        compare(
          backends,
          "rope",
          inputs,
          [{ shape: [b, t, h, d] }],
          { relative: 2e-7, floor: 1 },
          (k, [x, c, s], [y]) => k.rope(x!, c!, s!, inverse, y!),
        );
      }
    }
  }));
