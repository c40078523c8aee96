/** Products with rounded inputs: the bits of the reference on every backend, and sums of the rounded numbers in f64. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { castTo, read, type Tensor, tensor, valueAndGrad } from "../../../core/mod.ts";
import { matmul, sum } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { type DType, ggufBlock, isGguf } from "../../../tensor/dtype.ts";
import { floats, noise, random, type Run, run } from "../kernel_operands.ts";
import { CODED, coded } from "../weights.ts";
import { withBackends } from "./compare.ts";

const GGUF = CODED.filter(isGguf);

const product: Run = (backend, [a, b], [y]) => backend.matmulRounded!(a!, b!, y!);

Deno.test("matmulRounded() leaves the reference's bits on wasm and native, for one thread and for three", () =>
  withBackends((backends) => {
    const { oracle, ...others } = backends;
    fc.assert(
      fc.property(
        fc.constantFrom(...GGUF),
        fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 40 })),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: -30, max: 20 }),
        (dtype, m, n, blocks, exponent) => {
          const k = blocks * ggufBlock(dtype).elements;
          const inputs = [random([m, k], m, 2 ** exponent), coded([n, k], dtype, n)];
          const outputs = [{ shape: [m, n] }];
          const [expected] = run(oracle, inputs, outputs, product);
          for (const [name, backend] of Object.entries(others)) {
            const [found] = run(backend, inputs, outputs, product);
            assert.ok(
              Buffer.from(found!).equals(expected!),
              `${name}, ${dtype} [${m}, ${k}] by [${n}, ${k}]`,
            );
          }
        },
      ),
      { numRuns: 120 },
    );
  }));

/** A row's block as whole numbers of at most 127 times a scale, which is f16 for blocks of 32. */
function roundedBlock(x: Float32Array): readonly number[] {
  const most = Math.max(...x.map(Math.abs));
  const scale = x.length === 32 ? Number(new Float16Array([most / 127])[0]) : most / 127;
  return [...x].map((v) => Math.round(v / most * 127) * scale);
}

Deno.test("matmulRounded() is the product of the rounded rows, summed in f64", () => {
  const backend = reference();
  fc.assert(
    fc.property(
      fc.constantFrom(...GGUF),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      (dtype, m, n, blocks) => {
        const { elements } = ggufBlock(dtype);
        const k = blocks * elements;
        const [a, b] = [random([m, k], m), coded([n, k], dtype, n)];
        const [bytes] = run(backend, [a, b], [{ shape: [m, n] }], product);
        const [plain] = run(backend, [b], [{ shape: [n, k] }], (k, [x], [y]) => k.cast(x!, y!));
        const [x, w] = [floats(a.bytes), floats(plain!)];
        floats(bytes!).forEach((found, at) => {
          const [row, column] = [Math.floor(at / n), at % n];
          let [sum, size] = [0, 0];
          for (let block = 0; block < blocks; block++) {
            const from = row * k + block * elements;
            roundedBlock(x.slice(from, from + elements)).forEach((v, i) => {
              const term = v * w[column * k + block * elements + i]!;
              sum += term;
              size += Math.abs(term);
            });
          }
          // Shifts of q4_1 and q5_1 meet a sum that is rounded to f16, as llama.cpp rounds it.
          const near = dtype.endsWith("_1") ? 2 ** -10 : 2 ** -18;
          assert.ok(
            Math.abs(found - sum) <= near * size,
            `${dtype} [${m}, ${k}] by [${n}, ${k}]: ${found} for ${sum}`,
          );
        });
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("matmul() rounds where it is asked to, the weight is in GGUF blocks and no gradient flows", () => {
  const backend = reference();
  const w = (dtype: DType): Tensor =>
    castTo(tensor([[...noise(32, 1)], [...noise(32, 2)]], { backend }), dtype);
  const x = tensor([[...noise(32, 3)]], { backend });
  const exactly = (dtype: DType): Promise<Float32Array> =>
    read(matmul(x, w(dtype), { transposeB: true })) as Promise<Float32Array>;
  const rounding = (dtype: DType): Promise<Float32Array> =>
    read(matmul(x, w(dtype), { transposeB: true, roundA: true })) as Promise<Float32Array>;
  return Promise.all([
    Promise.all([exactly("q4_0"), rounding("q4_0")]).then(([a, b]) => assert.notDeepEqual(a, b)),
    Promise.all([exactly("f16"), rounding("f16")]).then(([a, b]) => assert.deepEqual(a, b)),
    (async () => {
      const { value } = valueAndGrad(({ x }: { x: Tensor }) =>
        sum(matmul(x, w("q4_0"), { transposeB: true, roundA: true }))
      )({ x });
      const [one, two] = await exactly("q4_0");
      assert.ok(Math.abs((await read(value))[0]! - (one! + two!)) < 1e-5);
    })(),
  ]).then(() => {});
});
