import assert from "node:assert/strict";
import type { Backend } from "../../../tensor/backend.ts";
import { byteLength, type DType, ggufBlock, isGguf } from "../../../tensor/dtype.ts";
import { size } from "../../../tensor/shape.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { compare, runOn } from "./compare.ts";
import { EXACT } from "./tolerances.ts";
import { f32, floats, i32, type Input, noise, random, type Run } from "../kernel_operands.ts";
import { CODED, coded } from "../weights.ts";

/** Shapes with odd sizes and partial blocks that a dtype allows. */
function shapesOf(dtype: DType): readonly (readonly number[])[] {
  if (!isGguf(dtype)) return [[1], [63], [64], [65], [3, 50], [2, 3, 129], [0, 4], [70, 513]];
  const unit = ggufBlock(dtype).elements;
  return [[unit], [3, unit], [2, 2, 3 * unit], [0, unit]];
}

gpuTest("cast() of gpu decodes every dtype to the reference's bits", () =>
  withGpu(async (gpu) => {
    for (const dtype of [...CODED, "udynamic8", "i32", "u8"] as const) {
      for (const shape of shapesOf(dtype)) {
        await compare(gpu, `decode ${dtype}`, [coded(shape, dtype, 3)], [{ shape }], EXACT, (k, [x], [y]) =>
          k.cast(x!, y!));
      }
    }
    // Every pattern of 16 bits.
    const bytes = Uint8Array.from({ length: 131072 }, (_, i) =>
      i & 1 ? i >> 9 : (i >> 1) & 255);
    const halves: Input = { shape: [65536], dtype: "f16", bytes };
    await compare(gpu, "every f16", [halves], [{ shape: [65536] }], EXACT, (k, [x], [y]) =>
      k.cast(x!, y!));
    // Of bf16 those that are not subnormal, which adapters may flush.
    const normal: Input = {
      ...halves,
      dtype: "bf16",
      bytes: bytes.map((x, i, all) =>
        i & 1 && (x & 127) === 0 && all[i - 1]! < 128 ? 1 : x
      ),
    };
    await compare(
      gpu,
      "every bf16",
      [normal],
      [{ shape: [65536] }],
      { relative: 0, absolute: 1.2e-38 },
      (k, [x], [y]) =>
        k.cast(x!, y!),
    );
  }));

gpuTest("gatherRows() of gpu decodes rows of every dtype", () =>
  withGpu(async (gpu) => {
    for (const dtype of CODED) {
      for (const unit of isGguf(dtype) ? [ggufBlock(dtype).elements] : [37, 64]) {
        const inputs = [coded([5, unit], dtype, 3), i32([4], [4, 0, 3, 3])];
        await compare(gpu, `rows of ${dtype}`, inputs, [{ shape: [4, unit] }], EXACT, (k, [x, i], [y]) =>
          k.gatherRows(x!, i!, y!));
      }
    }
  }));

/** Casts after clearing the target: padding bytes have no meaning, and both backends may leave them alone. */
const clean: Run = (k, [x], [y]) => {
  k.upload(y!.raw, new Uint8Array(byteLength(y!.dtype, y!.shape)));
  k.cast(x!, y!);
};

/** Encodes and decodes again. */
const roundTrip = (dtype: DType): Run => (k, [x], [y]) => {
  const bytes = byteLength(dtype, x!.shape);
  const code = { raw: k.allocate(bytes), shape: x!.shape, dtype };
  clean(k, [x!], [code]);
  k.cast(code, y!);
  k.release(code.raw, bytes);
};

/** Whether the adapter computes with numbers below 2^-126, which WGSL lets it take for zeros. */
async function keepsSubnormals(gpu: Backend): Promise<boolean> {
  const inputs = [f32([1], [1e-38]), f32([1], [1])];
  const [y] = await runOn(
    gpu,
    inputs,
    [{ shape: [1] }],
    (k, [x, one], [y]) => k.binary("multiply", x!, one!, y!),
  );
  return floats(y!)[0] !== 0;
}

gpuTest(
  "cast() of gpu encodes every dtype that can be written to the reference's bytes",
  () =>
    withGpu(async (gpu) => {
      const written = [...CODED.filter((dtype) => !dtype.endsWith("_k")), "udynamic8", "i32", "u8"] as const;
      /** Values that meet codes, midpoints and blocks of zeros. */
      const lattice = (n: number) => noise(n, 2).map((x, i) => i % 97 < 40 ? Math.round(x * 14) / 14 : x);
      const exact = await keepsSubnormals(gpu);
      for (const dtype of written) {
        for (const shape of shapesOf(dtype)) {
          const n = size(shape);
          for (const values of [noise(n, 1, 3), lattice(n), noise(n, 3, 1e-5)]) {
            await compare(gpu, `encode ${dtype}`, [f32(shape, values)], [{ shape, dtype }], EXACT, clean);
          }
          // The scale of a partial block of zeros is 1e-38, and double quantization computes with the scales.
          const zeros = [f32(shape, new Float32Array(n))];
          if (exact || !dtype.endsWith("_double")) {
            await compare(gpu, `encode zeros as ${dtype}`, zeros, [{ shape, dtype }], EXACT, clean);
          }
          await compare(gpu, `zeros by ${dtype}`, zeros, [{ shape }], EXACT, roundTrip(dtype));
        }
      }
    }),
);

gpuTest(
  "cast() of gpu rounds halves and integers like the reference, and refuses K-quants and broken blocks",
  () =>
    withGpu(async (gpu) => {
      const edges = [
        65504,
        65519.99,
        65520,
        1e9,
        -Infinity,
        NaN,
        2 ** -24,
        2 ** -25,
        1.5 * 2 ** -25,
        -0,
        3e9,
        -3e9,
        255.5,
      ];
      const ties = new Float32Array(
        Uint32Array.from(noise(4000, 9, 2 ** 30), (x) => ((x + 2 ** 30) & 0xFFFFE000) | 0x1000).buffer,
      );
      const values = [...edges, ...ties].filter((x) => Math.abs(x) > 1e-37 || x === 0 || Number.isNaN(x));
      const shape = [values.length];
      for (const dtype of ["f16", "bf16", "i32", "u8"] as const) {
        await compare(gpu, `encode ${dtype}`, [f32(shape, values)], [{ shape, dtype }], EXACT, clean);
      }
      for (
        const [from, to] of [["nf4", "int8"], ["q8_0", "nf4_double"], ["f16", "bf16"], ["int8", "int8"], [
          "u8",
          "f16",
        ]] as const
      ) {
        await compare(
          gpu,
          `${from} to ${to}`,
          [coded([6, 64], from, 3)],
          [{ shape: [6, 64], dtype: to }],
          EXACT,
          clean,
        );
      }
      const x = { raw: gpu.allocate(4096), shape: [256], dtype: "f32" as const };
      assert.throws(() => gpu.cast(x, { ...x, dtype: "q4_k" }), /Cannot encode to q4_k/);
      assert.throws(() => gpu.cast({ ...x, shape: [33] }, { ...x, dtype: "q4_0", shape: [33] }), RangeError);
      const moments = [
        random([300], 1),
        random([300], 2),
        coded([300], "dynamic8", 3),
        coded([300], "udynamic8", 4),
      ];
      const options = {
        learningRate: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weightDecay: 0.1,
        step: 3,
      };
      // The parameters: codes of moments may differ by one where they round.
      await compare(
        gpu,
        "coded moments",
        moments,
        [{ shape: [300] }],
        { relative: 1e-6, floor: 1 },
        (k, [p, g, m, v], [p2]) => {
          const [m2, v2] = [m!, v!].map((x) => ({ ...x, raw: k.allocate(byteLength(x.dtype, x.shape)) }));
          k.adamw(p!, g!, m!, v!, options, p2!, m2!, v2!);
          for (const x of [m2!, v2!]) k.release(x.raw, byteLength(x.dtype, x.shape));
        },
      );
    }),
);
