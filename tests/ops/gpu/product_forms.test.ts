/** Products with a low-rank term in the same pass, and products of f16. */
import assert from "node:assert/strict";
import {
  type Backend,
  bareLayer,
  dense,
  dispose,
  foldLinear,
  type LinearChange,
  lowRank,
  read,
  scaledMap,
  scope,
  type Tensor,
  tensor,
  valueAndGrad,
} from "../../../core/mod.ts";
import { multiply, sum } from "../../../ops/mod.ts";
import { bufferBytes } from "../../../ops/gpu/pool.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { compare, runOn } from "./compare.ts";
import { EXACT, summed, summedHalf } from "./tolerances.ts";
import {
  assertClose,
  f32,
  floats,
  type Input,
  matrix,
  noise,
  random,
  type Run,
  type Tolerance,
} from "../kernel_operands.ts";
import { coded } from "../weights.ts";

/** out = a b + c dᵀ: by the kernel, or by two products and a sum. */
const plus = (transposeB: boolean): Run => (k, [a, b, c, d], [y]) => {
  const plain = { transposeA: false, transposeB };
  if (k.matmulPlus !== undefined) return k.matmulPlus(a!, b!, plain, c!, d!, y!);
  const bytes = 4 * y!.shape[0]! * y!.shape[1]!;
  const [one, two] = [0, 1].map(() => ({ ...y!, raw: k.allocate(bytes) }));
  k.matmul(a!, b!, plain, one!);
  k.matmul(c!, d!, { transposeA: false, transposeB: true }, two!);
  k.binary("add", one!, two!, y!);
  for (const x of [one!, two!]) k.release(x.raw, bytes);
};

async function withTerm(
  gpu: Backend,
  m: number,
  weight: Input,
  transposeB: boolean,
  rank: number,
): Promise<void> {
  const [rows, columns] = weight.shape as [number, number];
  const [k, n] = transposeB ? [columns, rows] : [rows, columns];
  await compare(
    gpu,
    `${weight.dtype} [${weight.shape}]${transposeB ? "ᵀ" : ""} by ${m} rows, rank ${rank}`,
    [random([m, k], 1), weight, random([m, rank], 2), random([n, rank], 3)],
    [{ shape: [m, n] }],
    summed(k + rank),
    plus(transposeB),
  );
}

gpuTest(
  "matmulPlus() of gpu agrees with two products and a sum, from f32 and coded weights",
  () =>
    withGpu(async (gpu) => {
      for (const rank of [1, 6, 8]) await withTerm(gpu, 9, matrix([], 30, 21, true, 4), true, rank);
      await withTerm(gpu, 1, matrix([], 24, 40, false, 4), false, 4);
      for (const dtype of ["nf4", "q8_0", "f16"] as const) {
        await withTerm(gpu, 3, coded([12, 64], dtype, 3), true, 8);
      }
    }),
);

gpuTest("matmulPlus() of gpu by shared tiles, and in parts, agrees with two products and a sum", async () => {
  await withGpu(async (gpu) => {
    // A rank over the depth of a tile, and one that fills none.
    for (const rank of [20, 8]) await withTerm(gpu, 40, matrix([], 50, 70, true, 4), true, rank);
  }, { products: "shared" });
  await withGpu(async (gpu) => {
    await withTerm(gpu, 40, matrix([], 24, 36, true, 4), true, 8);
    await withTerm(gpu, 8, matrix([], 72, 36, false, 4), false, 8); // runs of k
  }, { bindingBytes: 2 ** 11 });
});

gpuTest(
  "profile() counts a product with a term as the operations of both, and its operands once",
  async () => {
    const [m, n, k, rank] = [40, 24, 36, 8];
    const inputs = [random([m, k], 1), random([n, k], 4), random([m, rank], 2), random([n, rank], 3)];
    const operations = 2 * m * n * (k + rank); // a multiply-add is two
    for (const bindingBytes of [2 ** 27, 2 ** 11]) {
      await withGpu(async (gpu) => {
        await runOn(gpu, inputs, [{ shape: [m, n] }], plus(true));
        const { kernels } = gpu.profile();
        const products = [...kernels].filter(([name]) => /^(registers|shared) /.test(name)).map(([, x]) => x);
        assert.equal(products.reduce((sum, tally) => sum + tally.operations, 0), operations);
        if (bindingBytes < 2 ** 27) return;
        // Buffers hold whole classes of the pool: see bufferBytes().
        const bound = [m * k, n * k, m * rank, n * rank, m * n].map((size) => bufferBytes(4 * size));
        assert.equal(products.length, 1);
        assert.equal(products[0]!.bytes, bound.reduce((a, b) => a + b));
        assert.equal(products[0]!.calls, 1);
      }, { bindingBytes });
    }
  },
);

/** The sum of the outputs of a layer with bias under two low-rank edits and a bias, weighed; and all its derivatives. */
async function layer(backend: Backend): Promise<readonly Float32Array[]> {
  const of = (shape: readonly number[], seed: number): Tensor =>
    tensor(noise(shape.reduce((a, b) => a * b), seed), { backend, shape: [...shape] });
  const shapes = { x: [2, 5, 12], w: [8, 12], a: [4, 12], b: [8, 4], c: [3, 12], d: [8, 3], bias: [8] };
  const params = Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, of(shape, i)]));
  const upstream = of([2, 5, 8], 20);
  const { value, gradients } = scope(() =>
    valueAndGrad(({ x, w, a, b, c, d, bias }: typeof params) => {
      const bare = bareLayer(dense(w!), bias!);
      const changes: readonly LinearChange[] = [
        { form: "add", map: lowRank(a!, b!, 0.5) },
        { form: "add", map: scaledMap(lowRank(c!, d!, 1), 3) },
        { form: "bias", bias: bias! },
      ];
      const edited = changes.reduce(
        (layer, change) => foldLinear(layer, { kind: "linear", path: "q", change }, undefined),
        bare,
      );
      return sum(multiply(edited.apply(x!), upstream));
    })(params)
  );
  const results = [value, ...Object.values(gradients) as Tensor[]];
  const numbers = await Promise.all(results.map(read));
  dispose([results, Object.values(params), upstream]);
  return numbers as readonly Float32Array[];
}

gpuTest(
  "a LoRA layer on gpu is one product with a term, and its derivatives are those of its parts",
  () =>
    withGpu(async (gpu) => {
      const [actual, expected] = [await layer(gpu), await layer(reference())];
      expected.forEach((numbers, i) =>
        assertClose(`output ${i}`, actual[i]!, numbers, { relative: 1e-5, floor: 1 })
      );
      const fused = [...gpu.profile().kernels].filter(([name]) => name.includes("term"));
      assert.equal(fused.reduce((n, [, { calls }]) => n + calls, 0), 1); // the second edit meets no bare layer
    }),
);

gpuTest("products of gpu in f16 are exact where f16 is, and overflow where f16 does", async () => {
  // Sixteenths of 64 at most: products and sums of four of them are f16 numbers.
  const lattice = (rows: number, columns: number, seed: number) =>
    f32([rows, columns], noise(rows * columns, seed).map((x) => Math.round(x * 16) / 16));
  for (const products of ["registers", "shared"] as const) {
    await withGpu(async (gpu) => {
      for (const [m, n, k] of [[40, 48, 30], [3, 20, 64]] as const) {
        const inputs = [lattice(m, k, 1), lattice(n, k, 2)];
        const exact: Tolerance = { relative: 3e-7, floor: 1 };
        const transposed = { transposeA: false, transposeB: true };
        await compare(
          gpu,
          `${products} f16`,
          inputs,
          [{ shape: [m, n] }],
          exact,
          (q, [a, b], [y]) => q.matmul(a!, b!, transposed, y!),
        );
      }
      const inputs = [random([33, 80], 1), random([80, 40], 2)];
      const straight = { transposeA: false, transposeB: false };
      await compare(
        gpu,
        `${products} rounded`,
        inputs,
        [{ shape: [33, 40] }],
        summedHalf(80),
        (q, [a, b], [y]) => q.matmul(a!, b!, straight, y!),
      );
      const large = [f32([1, 1], [300]), f32([1, 1], [300])];
      const [y] = await runOn(
        gpu,
        large,
        [{ shape: [1, 1] }],
        (q, [a, b], [y]) => q.matmul(a!, b!, straight, y!),
      );
      assert.deepEqual([...floats(y!)], [Infinity]);
    }, { products, precision: "f16" });
  }
}, "shader-f16");

gpuTest("gpu in f16 keeps sums in f32, and low-rank terms with them", () =>
  withGpu(async (gpu) => {
    // 4,096 ones: f16 would stop at 2,048 plus 4.
    const ones = (n: number) => f32([1, n], new Float32Array(n).fill(1));
    await compare(gpu, "ones", [ones(4097), ones(4097)], [{ shape: [1, 1] }], EXACT, (q, [a, b], [y]) =>
      q.matmul(a!, b!, { transposeA: false, transposeB: true }, y!));
    const inputs = [random([9, 30], 1), coded([12, 30], "nf4", 4), random([9, 8], 2), random([12, 8], 3)];
    await compare(gpu, "term", inputs, [{ shape: [9, 12] }], summedHalf(38), plus(true));
  }, { precision: "f16" }), "shader-f16");
