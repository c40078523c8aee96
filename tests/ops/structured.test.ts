/** Fourier tables, inverses, the Walsh–Hadamard transform and permutations against definitions and torch. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { key, read, scope, type Synchronous, type Tensor, tensor, valueAndGrad } from "../../core/mod.ts";
import { dftTables, inverse, randomPermutation, sumOfSquares, walshHadamard } from "../../ops/mod.ts";
import { numpyBelow, numpyChoice, numpyShuffle, pcg64 } from "../../numerics/numpy_random.ts";
import { mersenneTwister, torchRandperm, torchUniform } from "../../numerics/torch_random.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../support/golden.ts";

for (const backendName of ALL_BACKENDS) {
  Deno.test(`dftTables() are cosines and sines, exact at large n (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(() =>
        fc.assert(
          fc.asyncProperty(
            fc.constantFrom(1, 2, 5, 16, 37, 11008),
            fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
            async (n, picks) => {
              const frequencies = picks.map((p) => p % n);
              const { cos, sin } = scope((): Synchronous<ReturnType<typeof dftTables>> =>
                dftTables(frequencies, n, backend)
              );
              const angles = Array.from(
                { length: n },
                (_, p) => frequencies.map((f) => 2 * Math.PI * ((p * f) % n) / n),
              ).flat();
              // 1e-6 of 1: two f32 factors and a product.
              assertClose([...await read(cos), 1], [...angles.map(Math.cos), 1], 1e-6);
              assertClose([...await read(sin), 1], [...angles.map(Math.sin), 1], 1e-6);
              for (const t of [cos, sin]) t.storage.free();
            },
          ),
          { numRuns: 12 },
        )
      )));

  Deno.test(`inverse() and its gradient equal torch's (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        const stored = goldenTensors("reparam/inverse.safetensors", backend);
        const t = (name: string): Tensor => stored.get(name)!;
        const y = scope(() => inverse(t("x")));
        assertClose(await read(y), await read(t("y")), 1e-5);
        const { value, gradients } = valueAndGrad(({ x }: { x: Tensor }) => sumOfSquares(inverse(x)))({
          x: t("x"),
        });
        const { x } = gradients as { x: Tensor };
        assertClose(await read(x), await read(t("grad")), 1e-4);
        for (const u of [y, value, x, ...stored.values()]) u.storage.free();
      })));

  Deno.test(`walshHadamard() is the sum over signs (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        for (const k of [1, 2, 64, 128, 1024]) {
          const x = Array.from({ length: 2 * k }, (_, i) => Math.sin(i * i + 1));
          const bits = (i: number): number => i === 0 ? 0 : (i & 1) + bits(i >> 1);
          const expected = x.map((_, at) => {
            const [row, i] = [Math.floor(at / k), at % k];
            let y = 0;
            for (let j = 0; j < k; j++) y += (bits(i & j) % 2 === 0 ? 1 : -1) * x[row * k + j]!;
            return y;
          });
          const y = scope(() => walshHadamard(tensor(x, { backend, shape: [2, k] })));
          assertClose(await read(y), expected, 1e-5, `K = ${k}`);
          y.storage.free();
        }
        assert.throws(() => scope(() => walshHadamard(tensor([1, 2, 3], { backend }))), /power of two/);
      })));
}

Deno.test("randomPermutation() permutes, by the key alone, and evenly", () =>
  withBackend("reference", async (backend) => {
    const draw = async (seed: number, n: number): Promise<readonly number[]> => {
      const t = scope(() => randomPermutation(key(seed), n, backend));
      const ids = [...await read(t)];
      t.storage.free();
      return ids;
    };
    for (const n of [1, 2, 4, 8, 128, 512, 8192]) {
      assert.deepEqual([...await draw(3, n)].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    }
    assert.deepEqual(await draw(3, 128), await draw(3, 128));
    assert.notDeepEqual(await draw(3, 128), await draw(4, 128));
    assert.throws(() => randomPermutation(key(3), 100, backend), /power of two of places but found 100/);
    // Where a place goes, and how far from its neighbour: 16 equal bins, each met 4096 / 16 = 256 times on average with a
    // deviation of 15.5.
    const n = 1024;
    const [places, steps] = [new Array<number>(16).fill(0), new Array<number>(16).fill(0)];
    for (let seed = 0; seed < 64; seed++) {
      const order = await draw(seed, n);
      for (let i = 0; i < 64; i++) {
        const at = (i * 331 + seed) % (n - 1);
        places[order[at]! >> 6]!++;
        steps[((order[at + 1]! - order[at]!) & (n - 1)) >> 6]!++;
      }
    }
    for (const found of [...places, ...steps]) assert.ok(Math.abs(found - 256) < 80, `${places}; ${steps}`);
    // Both orders of two places.
    const pairs = await Promise.all(Array.from({ length: 200 }, (_, seed) => draw(seed, 2)));
    assert.ok(Math.abs(pairs.filter(([first]) => first === 0).length - 100) < 35);
  }));

Deno.test("numpyBelow(), numpyChoice() and numpyShuffle() equal NumPy's", () => {
  const golden = JSON.parse(Deno.readTextFileSync(`${GOLDEN}reparam/numpy_random.json`)) as readonly {
    readonly seed: number;
    readonly below: readonly (readonly [n: number, numbers: readonly number[]])[];
    readonly chosen: readonly (readonly [n: number, k: number, first: readonly number[]])[];
    readonly shuffled: readonly number[];
  }[];
  for (const { seed, below, chosen, shuffled } of golden) {
    const next = pcg64(seed);
    for (const [n, numbers] of below) assert.deepEqual(numbers.map(() => numpyBelow(next, n)), numbers);
    for (const [n, k, first] of chosen) {
      assert.deepEqual([...numpyChoice(next, n, k).subarray(0, first.length)], first, `${k} of ${n}`);
    }
    const values = Int32Array.from(shuffled, (_, i) => i);
    numpyShuffle(next, values);
    assert.deepEqual([...values], shuffled);
  }
});

Deno.test("torchUniform() and torchRandperm() equal torch's", () => {
  const golden = goldenNumbers("reparam/torch_random.safetensors");
  const uniform = golden.get("uniform")!;
  assert.deepEqual(torchUniform(mersenneTwister(11), 700, -0.3, 0.7), uniform);
  for (const [name, expected] of golden) {
    if (name === "uniform") continue;
    const [, seed, n] = name.split(".").map(Number) as [number, number, number];
    assert.deepEqual(torchRandperm(mersenneTwister(seed), n, expected.length), [...expected], name);
  }
});
