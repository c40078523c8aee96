/** Operands of which boxes are bound: everything but flat and row-wise kernels, seen through bindings of 1 or 2 KiB. */
import assert from "node:assert/strict";
import type { AttentionOptions } from "../../../tensor/backend.ts";
import { broadcast, size } from "../../../tensor/shape.ts";
import { attend } from "./attend.ts";
import { runOn } from "./compare.ts";
import { limited } from "./limited.ts";
import { EXACT, LONG_SUM, ROUNDED, ROW, summed } from "./tolerances.ts";
import { f32, i32, matrix, noise, random } from "../kernel_operands.ts";
import { coded } from "../weights.ts";

/** Through the smallest binding: 1 KiB, 256 numbers, of which 192 can be relied on. */
const TINY = 2 ** 10;

limited("gpu permutes, slices, places and joins in parts", async (check) => {
  const shape = [9, 11, 13];
  for (const dtype of ["f32", "u8", "bf16"] as const) {
    const x = dtype === "f32" ? random(shape, 1) : coded(shape, dtype, 1);
    for (const axes of [[2, 1, 0], [1, 0, 2], [0, 2, 1], [1, 2, 0]]) {
      const out = { shape: axes.map((axis) => shape[axis]!), dtype };
      await check(`permute ${axes}`, [x], [out], EXACT, (k, [x], [y]) => k.permute(x!, axes, y!));
    }
    const [starts, small] = [[1, 2, 3], [7, 8, 9]];
    await check("slice", [x], [{ shape: small, dtype }], EXACT, (k, [x], [y]) => k.slice(x!, starts, y!));
    const large = { shape: [10, 13, 16], dtype };
    await check("place", [x], [large], EXACT, (k, [x], [y]) => k.place(x!, [1, 1, 2], y!));
    for (const axis of [0, 1, 2]) {
      const joined = { shape: shape.map((n, i) => i === axis ? 2 * n : n), dtype };
      await check("concat", [x, x], [joined], EXACT, (k, [x, y], [z]) => k.concat([x!, y!], axis, z!));
    }
  }
}, TINY);

limited("gpu broadcasts and selects in parts", async (check) => {
  const shape = [12, 7, 30];
  const full = random(shape, 1);
  for (const other of [[12, 1, 30], [7, 30], [12, 7, 1], [1, 7, 1], [12, 1, 1]]) {
    const operands = [full, random(other, 2)];
    await check(
      `multiply by ${other}`,
      operands,
      [{ shape }],
      ROUNDED,
      (k, [x, y], [z]) => k.binary("multiply", x!, y!, z!),
    );
    await check(
      `select by ${other}`,
      [f32(other, noise(size(other), 3).map((x) => x > 0 ? 1 : 0)), ...operands],
      [{ shape }],
      EXACT,
      (k, [c, x, y], [z]) => k.select(c!, x!, y!, z!),
    );
  }
  const whole = i32([40, 30], noise(1200, 1, 99));
  await check(
    "i32",
    [whole, i32([40, 1], noise(40, 2, 99))],
    [{ shape: [40, 30], dtype: "i32" }],
    EXACT,
    (k, [x, y], [z]) => k.binary("multiply", x!, y!, z!),
  );
}, TINY);

limited("gpu reduces every axis in parts", async (check) => {
  for (const [outer, n, inner] of [[3, 900, 1], [2, 40, 30], [3, 3, 700], [700, 2, 1], [20, 5, 7]] as const) {
    const x = f32([outer, n, inner], noise(outer * n * inner, 2).map(Math.abs));
    for (const op of ["sum", "max", "min"] as const) {
      await check(
        `${op} ${outer} ${n} ${inner}`,
        [x],
        [{ shape: [outer, inner] }],
        op === "sum" ? LONG_SUM : EXACT,
        (k, [x], [y]) => k.reduce(op, x!, outer, n, inner, y!),
      );
    }
  }
}, TINY);

limited("gpu keeps numbers of rows in parts", async (check) => {
  const [rows, width] = [300, 3];
  const [shape, column] = [[rows, width], { shape: [rows] }];
  const [x, g, w, b] = [random(shape, 1, 3), random(shape, 2), random([width], 3), random([width], 4)];
  const [mean, inverse] = [random([rows], 5), f32([rows], noise(rows, 6).map((x) => 0.6 + x / 9))];
  const near = { ...ROW, absolute: 1e-5 }; // three numbers may nearly cancel
  await check("argmax", [x], [{ ...column, dtype: "i32" }], EXACT, (k, [x], [y]) => k.argmax(x!, y!));
  await check(
    "layerNorm",
    [x, w, b],
    [{ shape }, column, column],
    near,
    (k, [x, w, b], [y, m, i]) => k.layerNorm(x!, w!, b!, 1e-5, y!, m!, i!),
  );
  await check(
    "layerNormGrad",
    [x, w, mean, inverse, g],
    [{ shape }],
    near,
    (k, [x, w, m, i, g], [dx]) => k.layerNormGrad(x!, w!, m!, i!, g!, dx!),
  );
  await check(
    "rmsNormGrad",
    [x, w, inverse, g],
    [{ shape }],
    near,
    (k, [x, w, i, g], [dx]) => k.rmsNormGrad(x!, w!, i!, g!, dx!),
  );
  const labels = i32([rows], noise(rows, 1).map((x, i) => i % 3 === 2 ? -100 : Math.floor((x + 1) * 1.5)));
  await check(
    "crossEntropy",
    [x, labels],
    [column, column],
    near,
    (k, [x, l], [loss, s]) => k.crossEntropy(x!, l!, 0.1, loss!, s!),
  );
  await check(
    "crossEntropyGrad",
    [x, labels, random([rows], 5), f32([rows], noise(rows, 6).map((x) => 9 + x))],
    [{ shape }],
    near,
    (k, [x, l, g, s], [dx]) => k.crossEntropyGrad(x!, l!, 0.1, s!, g!, dx!),
  );
}, TINY);

limited("gpu gathers, scatters and rotates in parts", async (check, gpu) => {
  const picks = (n: number, limit: number) => noise(n, 3).map((x) => Math.floor((x + 1) / 2 * limit));
  for (const [rows, width, n] of [[50, 30, 90], [9, 170, 20], [300, 1, 700], [2, 100, 60]] as const) {
    const ids = i32([n], picks(n, rows));
    await check(
      "gatherRows",
      [random([rows, width], 1), ids],
      [{ shape: [n, width] }],
      EXACT,
      (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
    );
    await check(
      "scatterAddRows",
      [random([n, width], 2), ids],
      [{ shape: [rows, width] }],
      summed(n),
      (k, [x, i], [y]) => k.scatterAddRows(x!, i!, y!),
    );
  }
  for (const [rows, width, n] of [[40, 25, 11], [2, 900, 500], [1, 300, 5], [90, 3, 3]] as const) {
    const ids = i32([rows, n], picks(rows * n, width));
    await check(
      "gatherLast",
      [random([rows, width], 1), ids],
      [{ shape: [rows, n] }],
      EXACT,
      (k, [x, i], [y]) => k.gatherLast(x!, i!, y!),
    );
    await check(
      "scatterAddLast",
      [random([rows, n], 2), ids],
      [{ shape: [rows, width] }],
      summed(n),
      (k, [x, i], [y]) => k.scatterAddLast(x!, i!, y!),
    );
  }
  for (const [b, t, h, d, tables] of [[3, 40, 2, 10, 3], [3, 40, 2, 10, 1], [9, 4, 2, 8, 1]] as const) {
    await check(
      "rope",
      [random([b, t, h, d], 1), random([tables, t, d / 2], 2), random([tables, t, d / 2], 3)],
      [{ shape: [b, t, h, d] }],
      { ...ROUNDED, floor: 1 },
      (k, [x, c, s], [y]) => k.rope(x!, c!, s!, false, y!),
    );
  }
  // The position of a bad index counts from the first part.
  const bad = i32([400], new Array(400).fill(0).with(333, 9));
  await assert.rejects(
    runOn(gpu, [random([5], 1), bad], [{ shape: [400] }], (k, [x, i], [y]) => k.gatherLast(x!, i!, y!)),
    /index at position 333 is outside 0 to 4/,
  );
  await assert.rejects(
    runOn(gpu, [random([5, 2], 1), bad], [{ shape: [400, 2] }], (k, [x, i], [y]) => k.gatherRows(x!, i!, y!)),
    /index at position 333 is outside 0 to 4/,
  );
}, TINY);

limited("gpu multiplies batches of matrices in parts", async (check) => {
  const cases = [
    [[6], [6], 5, 9, 7],
    [[2, 3], [3], 8, 9, 10],
    [[2, 1], [1, 5], 4, 9, 12],
    [[], [3], 20, 16, 30],
    [[3], [3], 30, 20, 24],
    [[4, 1], [], 8, 9, 10],
  ] as const;
  for (const [left, right, m, n, k] of cases) {
    for (const [ta, tb] of [[false, false], [false, true], [true, false], [true, true]] as const) {
      const inputs = [matrix(left, m, k, ta, 1), matrix(right, k, n, tb, 2)];
      await check(
        `[${left}] [${right}] ${ta} ${tb}`,
        inputs,
        [{ shape: [...broadcast("matmul", left, right), m, n] }],
        summed(k),
        (q, [a, b], [y]) => q.matmul(a!, b!, { transposeA: ta, transposeB: tb }, y!),
      );
    }
  }
}, 2 ** 11);

limited("gpu attends in parts: batches, heads, queries and keys", async (_, gpu) => {
  const options: AttentionOptions = { scale: 0.3, causal: true, offset: 0, window: 0, always: 0 };
  const wide = { mask: false, bias: undefined };
  await attend(gpu, { sizes: [3, 7, 7, 2, 2, 4], options, ...wide });
  await attend(gpu, { sizes: [2, 20, 30, 1, 3, 6], options: { ...options, offset: 10 }, ...wide });
  await attend(gpu, {
    sizes: [1, 33, 40, 2, 1, 16],
    options: { ...options, causal: false },
    ...wide,
    mask: true,
  });
  const windowed = { ...options, offset: 9, window: 12, always: 3 };
  for (const bias of [[true, true, true, true], [false, true, true, true], [true, false, false, true]]) {
    await attend(gpu, { sizes: [2, 21, 30, 2, 2, 4], options: windowed, mask: false, bias });
    await attend(gpu, { sizes: [2, 21, 30, 2, 2, 4], options: windowed, mask: true, bias });
  }
}, TINY);
