/** Structured linear maps are the matrices they say, on every way of computing them, and draw gradients through all. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Backend,
  blockCirculant,
  blockDiagonal,
  chain,
  cheapest,
  chunkShuffle,
  dense,
  diagonalLowRank,
  fastfood,
  fastfoodDraws,
  fold,
  fourierMap,
  granular,
  hadamardKernel,
  hadamardLowRank,
  key,
  kronecker,
  kroneckerKernel,
  type LinearMap,
  lowRank,
  madeLowRank,
  orthogonalReflections,
  pairMap,
  read,
  reflections,
  repeatedBlocks,
  scattered,
  scope,
  splitWeight,
  type Synchronous,
  type Tensor,
  tensor,
  tuckerWeight,
  valueAndGrad,
  withinSubspace,
} from "../../../core/mod.ts";
import {
  identity,
  integers,
  matmul,
  multiply,
  normal,
  orthogonalRows,
  reshape,
  sum,
  transpose,
} from "../../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { goldenTensors } from "../../support/golden.ts";

type Draw = (...shape: number[]) => Tensor;

/** Maps of awkward sizes, each with what it says it is as a plain formula. */
const MAPS: Readonly<Record<string, (draw: Draw, backend: Backend) => LinearMap>> = {
  "kronecker of dense": (draw) => kronecker(dense(draw(2, 3)), dense(draw(5, 7)), 1.5),
  "kronecker of a row and a column": (draw) => kronecker(dense(draw(1, 4)), dense(draw(6, 1)), 1),
  "kronecker of low rank": (draw) => kronecker(lowRank(draw(1, 4), draw(3, 1), 1), dense(draw(2, 2)), 2),
  "hadamardLowRank of rank 1": (draw) =>
    hadamardLowRank({ w1a: draw(9, 1), w1b: draw(1, 8), w2a: draw(9, 1), w2b: draw(1, 8) }, 0.5),
  "hadamardLowRank of rank 3": (draw) =>
    hadamardLowRank({ w1a: draw(4, 3), w1b: draw(3, 5), w2a: draw(4, 3), w2b: draw(3, 5) }, 1),
  diagonalLowRank: (draw) => {
    const [a, b] = [draw(3, 8), draw(9, 3)];
    return diagonalLowRank(5, draw(3), draw(4), () => ({ a, b }), [a, b]);
  },
  "repeatedBlocks with a short end": (draw) => repeatedBlocks(draw(3, 4), 8),
  "repeatedBlocks side by side": (draw) => repeatedBlocks(draw(2, 3), 6, 2),
  blockDiagonal: (draw) => {
    const blocks = draw(3, 2, 2);
    return blockDiagonal(() => blocks, blocks, 2, 6);
  },
  "blockDiagonal of one block": (draw) => {
    const blocks = draw(1, 3, 3);
    return blockDiagonal(() => blocks, blocks, 3, 6);
  },
  reflections: (draw) => reflections(draw(5, 3)),
  pairMap: (draw) => {
    const [a, b] = [draw(12), draw(12)];
    return pairMap(12, 6, [a, b], () => ({ a, b }));
  },
  granular: (draw) => granular(draw(3, 2, 6), draw(3, 6, 5), 1.5),
  "granular of one block": (draw) => granular(draw(1, 5, 2), draw(1, 2, 7), 1),
  "scattered over more elements than it has": (draw, backend) => {
    const at = (...places: number[]): Tensor => integers(places, backend, [2, 3]);
    const [rows, columns, factors] = [at(0, 1, 3, 3, 0, 2), at(2, 1, 0, 0, 2, 2), draw(2, 3)];
    return scattered(
      draw(2),
      { outFeatures: 4, inFeatures: 3, each: 3 },
      2,
      () => ({ rows, columns, factors }),
    );
  },
  "scattered over few": (draw, backend) => {
    const [rows, columns] = [integers([7, 0], backend, [2, 1]), integers([0, 8], backend, [2, 1])];
    return scattered(draw(2), { outFeatures: 8, inFeatures: 9, each: 1 }, 1, () => ({ rows, columns }));
  },
  withinSubspace: (draw) => {
    const m = draw(2, 2);
    return withinSubspace(draw(2, 5), () => m, [m]);
  },
  orthogonalReflections: (draw) => {
    const u = draw(5, 2);
    return orthogonalReflections(() => orthogonalRows(transpose(u)), u);
  },
  chain: (draw) => chain([dense(draw(4, 5)), dense(draw(3, 4))]),
  chunkShuffle: (draw) => chunkShuffle(16, 8, 2, "gather", draw(1)),
  "blockCirculant of one block": (draw) => blockCirculant(draw(1, 1, 7), 0.5),
  "blockCirculant of small blocks": (draw) => blockCirculant(draw(5, 6, 8), 2),
  "blockCirculant of odd blocks": (draw) => blockCirculant(draw(6, 7, 9), 1),
  "madeLowRank of low rank": (draw) => {
    const [a, b] = [draw(2, 9), draw(8, 2)];
    return madeLowRank({ inFeatures: 9, outFeatures: 8, rank: 2 }, [a, b], () => ({ a, b }));
  },
  "madeLowRank of full rank": (draw) => {
    const [a, b] = [draw(6, 5), draw(4, 6)];
    return madeLowRank({ inFeatures: 5, outFeatures: 4, rank: 6 }, [a, b], () => ({ a, b }));
  },
  "fourierMap of few frequencies": (draw) => fourierMap(draw(2), [[0, 3], [4, 1]], 30, 20, 3),
  "fourierMap of many": (draw) =>
    fourierMap(draw(9), Array.from({ length: 9 }, (_, i) => [i % 4, (i * 5) % 3] as const), 4, 3, 3),
};

for (const backendName of ALL_BACKENDS) {
  for (const [name, make] of Object.entries(MAPS)) {
    Deno.test(`${name}: apply, columns and weight are one matrix (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(() =>
          fc.assert(
            fc.asyncProperty(fc.nat(1e6), fc.constantFrom(1, 2, 40), async (seed, rows) => {
              const results = scope((): Synchronous<readonly Tensor[]> => {
                let i = 0;
                const draw: Draw = (...shape) => normal(fold(key(seed), i++), shape, backend);
                const map = make(draw, backend);
                const x = draw(rows, map.inFeatures);
                const w = map.weight();
                const ids = integers([map.inFeatures - 1, 0], backend);
                const factors = map.factors?.();
                const product = factors === undefined ? w : matmul(factors.b, factors.a);
                return [
                  map.apply(x),
                  dense(w).apply(x),
                  map.columns(ids),
                  dense(w).columns(ids),
                  w,
                  product,
                ] as const;
              });
              const [y, wx, columns, wColumns, w, product] = results;
              assert.deepEqual(y!.shape, wx!.shape);
              assert.deepEqual(columns!.shape, wColumns!.shape);
              const scale = [...await read(w!)].map(Math.abs).reduce((a, b) => Math.max(a, b));
              // 1e-5: f32 sums of up to 32 terms in another order, measured against the largest weight too.
              assertClose([...await read(y!), scale], [...await read(wx!), scale], 1e-5);
              assertClose([...await read(columns!), scale], [...await read(wColumns!), scale], 1e-5);
              assertClose(await read(product!), await read(w!), 1e-5, "the product of its factors");
              for (const t of new Set(results)) t.storage.free();
            }),
            { numRuns: 6 },
          )
        )));
  }
}

/** The numbers of a tensor made by f inside a scope. */
async function numbers(f: () => Tensor): Promise<readonly number[]> {
  const t = scope(() => f());
  const values = [...await read(t)];
  t.storage.free();
  return values;
}

for (const backendName of ALL_BACKENDS) {
  Deno.test(`kronecker() is the written-out product for four distinct sizes (${backendName})`, () =>
    withBackend(backendName, async (backend) => {
      const [o1, i1, o2, i2] = [2, 3, 5, 4];
      const a = Array.from({ length: o1 * i1 }, (_, i) => Math.sin(i + 1));
      const b = Array.from({ length: o2 * i2 }, (_, i) => Math.cos(3 * i));
      const x = Array.from({ length: i1 * i2 }, (_, i) => Math.sin(7 * i));
      const expected = Array.from({ length: o1 * o2 }, (_, row) => {
        const [p, q] = [Math.floor(row / o2), row % o2];
        return x.reduce((y, value, column) => {
          const [r, s] = [Math.floor(column / i2), column % i2];
          return y + a[p * i1 + r]! * b[q * i2 + s]! * value;
        }, 0);
      });
      const found = await numbers(() => {
        const at = (values: readonly number[], shape: readonly number[]) =>
          dense(tensor(values, { backend, shape }));
        return kronecker(at(a, [o1, i1]), at(b, [o2, i2]), 1).apply(tensor(x, { backend }));
      });
      assertClose(found, expected, 1e-6);
    }));

  Deno.test(`kernels of convolutions equal LyCORIS's (${backendName})`, () =>
    withBackend(backendName, async (backend) => {
      const kernel = async (
        name: string,
        f: (t: (name: string) => Tensor) => Tensor,
      ): Promise<void> => {
        const stored = goldenTensors(`reparam/${name}.safetensors`, backend);
        const found = await numbers(() => f((part) => stored.get(part)!));
        assertClose(found, await read(stored.get("weight")!), 1e-6, name);
        for (const t of stored.values()) t.storage.free();
      };
      await kernel("loha_tucker", (t) =>
        hadamardKernel(
          tuckerWeight({ core: t("t1"), out: t("w1a"), in: t("w1b") }),
          tuckerWeight({ core: t("t2"), out: t("w2a"), in: t("w2b") }),
          0.7,
        ));
      await kernel(
        "loha_convolution",
        (t) => hadamardKernel(splitWeight(t("w1a"), t("w1b")), splitWeight(t("w2a"), t("w2b")), 0.7),
      );
      await kernel("lokr_convolution", (t) => kroneckerKernel(t("w1"), t("w2"), 1));
      await kernel(
        "lokr_tucker",
        (t) => kroneckerKernel(t("w1"), tuckerWeight({ core: t("t2"), out: t("w2a"), in: t("w2b") }), 0.7),
      );
      await kernel(
        "lokr_split_convolution",
        (t) => kroneckerKernel(splitWeight(t("w1a"), t("w1b")), splitWeight(t("w2a"), t("w2b")), 0.7),
      );
    }));

  for (const name of ["fastfood", "fastfood_small"]) {
    Deno.test(`${name}: value and gradient equal the transcription (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const stored = goldenTensors(`reparam/${name}.safetensors`, backend);
          const t = (part: string): Tensor => stored.get(part)!;
          const size = t("y").size;
          const run = (v: Tensor): Tensor => {
            const row = (d: Tensor): Tensor => reshape(d, [1, d.size]);
            const draws = {
              signs: row(t("signs")),
              permutation: integers(order, backend),
              gaussian: row(t("gaussian")),
            };
            return fastfood(v, draws, size);
          };
          const order = [...await read(t("permutation"))];
          assertClose(await numbers(() => run(t("v"))), await read(t("y")), 1e-5, "P v");
          const { value, gradients } = valueAndGrad(({ v }: { v: Tensor }) =>
            sum(multiply(run(v), t("seed")))
          )({
            v: t("v"),
          });
          assertClose(await read((gradients as { v: Tensor }).v), await read(t("grad")), 1e-5, "gradient");
          for (const x of [value, (gradients as { v: Tensor }).v, ...stored.values()]) x.storage.free();
        })));
  }
}

Deno.test("fastfood() keeps lengths on average, in one block and in several", () =>
  withBackend("reference", async (backend) => {
    for (const [d, size, block] of [[60, 700, 1024], [30, 700, 32]] as const) {
      let total = 0;
      for (let seed = 0; seed < 40; seed++) {
        const y = await numbers(() =>
          fastfood(
            normal(key(seed), [d], backend),
            fastfoodDraws(key(1000 + seed), size, block, backend),
            size,
          )
        );
        const v = await numbers(() => normal(key(seed), [d], backend));
        total += Math.hypot(...y) / Math.hypot(...v) / 40;
      }
      // 0.05: the spread of the mean of 40 ratios is about 0.02.
      assert.ok(Math.abs(total - 1) < 0.05, `${total}`);
    }
  }));

Deno.test("cheapest() counts what is paid once and for each row", () => {
  const ways = [
    { once: 100, perRow: 1, run: () => "built" },
    { once: 0, perRow: 10, run: () => "factored" },
  ];
  assert.deepEqual([1, 11, 12].map((rows) => cheapest(rows, ways)), ["factored", "factored", "built"]);
});

Deno.test("costs are the multiply-adds of the cheapest way", () =>
  withBackend("reference", (backend) => {
    const draw: Draw = (...shape) => normal(key(1), shape, backend);
    const made = scope((): Synchronous<Record<string, LinearMap>> =>
      Object.fromEntries(
        Object.entries(MAPS).map(([name, make]) => [name, make(draw, backend)]),
      ) as Synchronous<
        Record<string, LinearMap>
      >
    );
    const costs = Object.fromEntries(Object.entries(made).map(([name, map]) => [name, map.cost]));
    assert.deepEqual(costs, {
      "kronecker of dense": 7 * 6 + 2 * 35, // A first: 7 columns, then B on 2
      "kronecker of a row and a column": 1 * 4 + 1 * 6,
      "kronecker of low rank": 2 * 7 + 3 * 4,
      "hadamardLowRank of rank 1": 1 * (9 + 8),
      "hadamardLowRank of rank 3": 4 * 5, // below 9 (4 + 5)
      diagonalLowRank: 3 * (5 + 4) + 3 + 4,
      "repeatedBlocks with a short end": 3 * 4,
      "repeatedBlocks side by side": 2 * 3,
      blockDiagonal: 6 * 2,
      "blockDiagonal of one block": 6 * 3,
      reflections: 2 * 5 * 3,
      withinSubspace: 2 * 5 * 2 + 2 * 2,
      pairMap: 2 * 12,
      granular: 3 * (2 * 6 + 6 * 5),
      "granular of one block": 2 * (5 + 7),
      "scattered over more elements than it has": 2 * 3,
      "scattered over few": 2,
      orthogonalReflections: 2 * 5 * 2,
      chain: 20 + 12,
      chunkShuffle: 0,
      "blockCirculant of one block": 7 * 7,
      "blockCirculant of small blocks": 5 * (2 * 6 * 8 + 4 * 30 + 2 * 5 * 8), // 5 frequencies
      "blockCirculant of odd blocks": 5 * (2 * 7 * 9 + 4 * 42 + 2 * 6 * 9),
      "madeLowRank of low rank": 2 * (9 + 8),
      "madeLowRank of full rank": 5 * 4, // below 6 (5 + 4)
      "fourierMap of few frequencies": 2 * 2 * (30 + 20),
      "fourierMap of many": 4 * 3,
    });
    for (const t of Object.values(made).flatMap((map) => map.tensors)) t.storage.free();
    return Promise.resolve();
  }));

Deno.test("reflections() reversed undo reflections()", () =>
  withBackend("reference", async (backend) => {
    const found = await numbers(() => {
      const u = normal(key(1), [5, 3], backend);
      return reflections(u, true).apply(reflections(u).apply(identity(5, backend)));
    });
    assertClose(found, await numbers(() => identity(5, backend)), 1e-6);
  }));
