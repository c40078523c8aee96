import fc from "fast-check";
import type { AttentionOptions, Backend } from "../../../tensor/backend.ts";
import { ggufBlock, isGguf } from "../../../tensor/dtype.ts";
import { broadcast } from "../../../tensor/shape.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { attend, type Case } from "./attend.ts";
import { compare } from "./compare.ts";
import { EXACT, summed } from "./tolerances.ts";
import { f32, type Input, matrix, random } from "../kernel_operands.ts";
import { CODED, coded } from "../weights.ts";

async function product(
  gpu: Backend,
  a: Input,
  b: Input,
  transposeA: boolean,
  transposeB: boolean,
): Promise<void> {
  const shape = [
    ...broadcast("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2)),
    a.shape.at(transposeA ? -1 : -2)!,
    b.shape.at(transposeB ? -2 : -1)!,
  ];
  const name = `matmul [${a.shape}]${transposeA ? "ᵀ" : ""} ${b.dtype} [${b.shape}]${transposeB ? "ᵀ" : ""}`;
  const tolerance = summed(a.shape.at(transposeA ? -2 : -1)!);
  await compare(
    gpu,
    name,
    [a, b],
    [{ shape }],
    tolerance,
    (k, [x, y], [z]) => k.matmul(x!, y!, { transposeA, transposeB }, z!),
  );
}

const both = fc.boolean();

for (const products of ["registers", "shared"] as const) {
  gpuTest(
    `matmul() of gpu by ${products} agrees with the reference for odd shapes in all orientations`,
    () =>
      withGpu(async (gpu) => {
        const side = fc.oneof(
          fc.integer({ min: 0, max: 12 }),
          fc.integer({ min: 13, max: 90 }),
          fc.constantFrom(32, 64, 96),
        );
        await fc.assert(
          fc.asyncProperty(
            side,
            side,
            side,
            both,
            both,
            (m, n, k, ta, tb) => product(gpu, matrix([], m, k, ta, 1), matrix([], k, n, tb, 2), ta, tb),
          ),
          { numRuns: 60 },
        );
        // Large enough for the widest tiles, with edges; and one of each k that is no multiple of the depth.
        for (const [m, n, k] of [[130, 300, 801], [200, 400, 256], [96, 192, 1024]] as const) {
          for (const [ta, tb] of [[false, false], [false, true], [true, false], [true, true]] as const) {
            await product(gpu, matrix([], m, k, ta, 1), matrix([], k, n, tb, 2), ta, tb);
          }
        }
      }, { products }),
  );
}

gpuTest("matmul() of gpu broadcasts batches like the reference", () =>
  withGpu(async (gpu) => {
    const leads = fc.constantFrom<readonly [readonly number[], readonly number[]]>(
      ...[[[2], []], [[], [3]], [[2, 3], [3]], [[2, 1], [1, 3]], [[1], [2, 2]], [[0], []], [[3, 2], [
        3,
        2,
      ]]] as const,
    );
    const small = fc.integer({ min: 1, max: 9 });
    await fc.assert(
      fc.asyncProperty(leads, small, small, small, both, both, ([la, lb], m, n, k, ta, tb) =>
        product(gpu, matrix(la, m, k, ta, 1), matrix(lb, k, n, tb, 2), ta, tb)),
      { numRuns: 50 },
    );
    await product(gpu, random([9, 70, 40], 1), random([9, 40, 90], 2), false, false);
  }));

gpuTest(
  "matmul() of gpu decodes weights of every dtype in both orientations, for one row and for many",
  () =>
    withGpu(async (gpu) => {
      for (const dtype of CODED) {
        const unit = isGguf(dtype) ? ggufBlock(dtype).elements : 1;
        // Rows that are no multiple of four are read another way, the same for all dtypes.
        const shapes = unit > 1
          ? [[40, 2 * unit]]
          : dtype === "nf4" || dtype === "int8"
          ? [[37, 101], [64, 64]]
          : [[64, 64]];
        for (const shape of shapes) {
          const weight = coded(shape, dtype, 3);
          for (const m of [1, 33]) {
            await product(gpu, random([m, shape[1]!], 1), weight, false, true);
            await product(gpu, random([m, shape[0]!], 1), weight, false, false);
          }
        }
      }
      const wide = coded([300, 512], "q4_k", 3);
      await product(gpu, random([2, 9, 512], 1), wide, false, true);
      await product(gpu, random([300, 9], 1), wide, true, false);
    }),
);

gpuTest("matmul() of gpu by shared tiles decodes weights", () =>
  withGpu(async (gpu) => {
    for (const dtype of ["nf4", "int8", "f16", "q8_0", "q6_k"] as const) {
      const weight = coded([70, 256], dtype, 3);
      await product(gpu, random([65, 256], 1), weight, false, true);
      await product(gpu, random([65, 70], 1), weight, false, false);
    }
  }, { products: "shared" }));

gpuTest(
  "attention() and attentionGrad() of gpu agree with the reference for all options",
  () =>
    withGpu((gpu) => {
      const options = fc.record({
        scale: fc.constantFrom(1, 0.125),
        causal: both,
        offset: fc.integer({ min: -2, max: 9 }),
        window: fc.constantFrom(0, 0, 1, 5),
        always: fc.constantFrom(0, 0, 2, 30),
      });
      const sizes = fc.tuple(
        fc.integer({ min: 1, max: 2 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 25 }),
        fc.integer({ min: 1, max: 2 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(1, 4, 6, 16),
      );
      const bias = fc.option(fc.tuple(both, both, both, both), { nil: undefined });
      const cases: fc.Arbitrary<Case> = fc.record({ sizes, options, mask: both, bias });
      return fc.assert(fc.asyncProperty(cases, (c) => attend(gpu, c)), { numRuns: 40 });
    }),
);

gpuTest(
  "attention() of gpu agrees with the reference across workgroups, and where nothing is seen",
  () =>
    withGpu(async (gpu) => {
      const options: AttentionOptions = { scale: 0.3, causal: false, offset: 0, window: 0, always: 0 };
      const causal = { ...options, causal: true };
      const windowed = { ...causal, offset: 110, window: 40, always: 3 };
      await attend(gpu, { sizes: [1, 100, 100, 2, 2, 16], options: causal, mask: false, bias: undefined });
      await attend(gpu, { sizes: [1, 90, 200, 2, 2, 16], options: windowed, mask: true, bias: undefined });
      await attend(gpu, {
        sizes: [1, 1, 300, 2, 2, 16],
        options: { ...causal, offset: 299 },
        mask: false,
        bias: undefined,
      });
      const inputs = [
        random([1, 2, 1, 4], 1),
        random([1, 3, 1, 4], 2),
        random([1, 3, 1, 4], 3),
        f32([1, 3], [0, 0, 0]),
      ];
      const outs = [{ shape: [1, 2, 1, 4] }, { shape: [1, 1, 2] }];
      await compare(
        gpu,
        "blind",
        inputs,
        outs,
        EXACT,
        (k, [q, key, v, m], [y, l]) => k.attention(q!, key!, v!, m, undefined, options, y!, l!),
      );
      await compare(
        gpu,
        "no keys",
        [random([1, 2, 1, 4], 1), random([1, 0, 1, 4], 2)],
        outs,
        EXACT,
        (k, [q, key], [y, l]) => k.attention(q!, key!, key!, undefined, undefined, options, y!, l!),
      );
    }),
);
