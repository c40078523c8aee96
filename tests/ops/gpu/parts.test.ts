/** Operands larger than a binding, seen through a limit of 64 or 256 KiB: bound in parts, with the numbers of the reference. */
import assert from "node:assert/strict";
import type { DType } from "../../../tensor/dtype.ts";
import { limited } from "./limited.ts";
import { EXACT, LONG_SUM, ROUNDED, ROW, summed, UNARY } from "./tolerances.ts";
import { f32, i32, noise, random } from "../kernel_operands.ts";
import { coded } from "../weights.ts";

limited("gpu computes element by element in parts", async (check) => {
  const n = 50_001;
  const [x, y, shape] = [random([n], 1), random([n], 2), [n]];
  await check("exp", [x], [{ shape }], UNARY.exp, (k, [x], [y]) => k.unary("exp", x!, y!));
  await check("add", [x, y], [{ shape }], ROUNDED, (k, [x, y], [z]) => k.binary("add", x!, y!, z!));
  await check(
    "add 3",
    [x, f32([], [3])],
    [{ shape }],
    ROUNDED,
    (k, [x, y], [z]) => k.binary("add", x!, y!, z!),
  );
  const column = random([300, 1], 2);
  await check(
    "walk",
    [column, random([1, 167], 3)],
    [{ shape: [300, 167] }],
    ROUNDED,
    (k, [x, y], [z]) => k.binary("multiply", x!, y!, z!),
  );
  await check("fill", [], [{ shape }], EXACT, (k, _, [y]) => k.fill(3, y!));
  await check("copy", [x], [{ shape }], EXACT, (k, [x], [y]) => k.copy(x!, y!));
  await check("uniform", [], [{ shape }], EXACT, (k, _, [y]) => k.uniform({ a: 5, b: 6 }, y!));
  const moments = [random([n], 3, 0.1), f32([n], noise(n, 4, 0.01).map(Math.abs))];
  const options = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, step: 3 };
  const outputs = [{ shape }, { shape }, { shape }];
  await check(
    "adamw",
    [x, y, ...moments],
    outputs,
    ROW,
    (k, [p, g, m, v], [p2, m2, v2]) => k.adamw(p!, g!, m!, v!, options, p2!, m2!, v2!),
  );
});

limited("gpu computes row by row in parts", async (check) => {
  const shape = [260, 130];
  const [x, g, w] = [random(shape, 1, 3), random(shape, 2), random([130], 3)];
  await check("softmax", [x], [{ shape }], ROW, (k, [x], [y]) => k.softmax(x!, y!));
  await check(
    "rmsNorm",
    [x, w],
    [{ shape }, { shape: [260] }],
    ROW,
    (k, [x, w], [y, i]) => k.rmsNorm(x!, w!, 1e-5, y!, i!),
  );
  const inverse = f32([260], noise(260, 5).map((x) => 0.6 + x / 9));
  await check(
    "rmsNormGrad",
    [x, w, inverse, g],
    [{ shape }],
    ROW,
    (k, [x, w, i, g], [dx]) => k.rmsNormGrad(x!, w!, i!, g!, dx!),
  );
  await check("argmax", [x], [{ shape: [260], dtype: "i32" }], EXACT, (k, [x], [y]) => k.argmax(x!, y!));
  const labels = i32([260], noise(260, 1).map((x, i) => i % 3 === 2 ? -100 : Math.floor((x + 1) * 65)));
  await check(
    "crossEntropy",
    [x, labels],
    [{ shape: [260] }, { shape: [260] }],
    ROW,
    (k, [x, l], [loss, s]) => k.crossEntropy(x!, l!, 0.1, loss!, s!),
  );
  const positive = f32(shape, noise(260 * 130, 2).map(Math.abs));
  for (const [outer, n, inner] of [[260, 130, 1], [130, 10, 26], [1, 33_800, 1], [1, 1300, 26]] as const) {
    await check(
      "sum",
      [positive],
      [{ shape: [outer, inner] }],
      LONG_SUM,
      (k, [x], [y]) => k.reduce("sum", x!, outer, n, inner, y!),
    );
  }
});

limited("gpu multiplies matrices in parts, along every axis", async (check) => {
  for (const [ta, tb] of [[false, false], [false, true], [true, false], [true, true]] as const) {
    for (const [m, n, k] of [[40, 400, 192], [400, 40, 192], [128, 72, 640]] as const) {
      const inputs = [random(ta ? [k, m] : [m, k], 1), random(tb ? [n, k] : [k, n], 2)];
      await check(
        `${ta} ${tb} ${m} ${n} ${k}`,
        inputs,
        [{ shape: [m, n] }],
        summed(k),
        (q, [a, b], [y]) => q.matmul(a!, b!, { transposeA: ta, transposeB: tb }, y!),
      );
    }
  }
  // 256 rows of 512 codes: 64 KiB of int8 and more with f16; half of it with four bits.
  for (const dtype of ["f16", "int8", "q8_0", "q4_k", "nf4_double"] as const satisfies readonly DType[]) {
    const weight = coded([384, 512], dtype, 3);
    await check(
      dtype,
      [random([5, 512], 1), weight],
      [{ shape: [5, 384] }],
      summed(512),
      (k, [a, b], [y]) => k.matmul(a!, b!, { transposeA: false, transposeB: true }, y!),
    );
    await check(
      dtype,
      [random([5, 384], 1), weight],
      [{ shape: [5, 512] }],
      summed(384),
      (k, [a, b], [y]) => k.matmul(a!, b!, { transposeA: false, transposeB: false }, y!),
    );
  }
});

limited("gpu decodes, encodes, gathers and scatters large tables in parts", async (check) => {
  const shape = [384, 512];
  const ids = i32([7], [383, 0, 200, 100, 383, 255, 256]);
  for (const dtype of ["f32", "f16", "int8", "nf4", "nf4_double", "dynamic8", "q4_0", "q6_k"] as const) {
    const table = dtype === "f32" ? random(shape, 3) : coded(shape, dtype, 3);
    await check(`decode ${dtype}`, [table], [{ shape }], EXACT, (k, [x], [y]) => k.cast(x!, y!));
    await check(
      `rows ${dtype}`,
      [table, ids],
      [{ shape: [7, 512] }],
      EXACT,
      (k, [x, i], [y]) => k.gatherRows(x!, i!, y!),
    );
    if (dtype !== "q6_k") {
      await check(
        `encode ${dtype}`,
        [random(shape, 4)],
        [{ shape, dtype }],
        EXACT,
        (k, [x], [y]) => k.cast(x!, y!),
      );
    }
  }
  await check(
    "scatter",
    [random([7, 512], 1), ids],
    [{ shape }],
    summed(2),
    (k, [x, i], [y]) => k.scatterAddRows(x!, i!, y!),
  );
}, 2 ** 18);

limited("gpu says what is too large for a binding", async (_, gpu) => {
  const big = { raw: gpu.allocate(2 ** 17), shape: [1, 32768], dtype: "f32" as const };
  const out = { raw: gpu.allocate(2 ** 17), shape: [1, 32768], dtype: "f32" as const };
  assert.throws(
    () => gpu.softmax(big, out),
    /Cannot bind rows of 131072 bytes on the GPU: maxStorageBufferBindingSize is 65536; use a smaller batch/,
  );
  const one = { ...big, shape: [1] };
  assert.throws(
    () => gpu.rmsNorm(one, big, 1e-5, one, one),
    /Cannot bind f32\[1, 32768\] on the GPU: 131072 bytes are needed at once and maxStorageBufferBindingSize is 65536/,
  );
  await gpu.download(out.raw, 4);
});
