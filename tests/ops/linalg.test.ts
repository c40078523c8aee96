import assert from "node:assert/strict";
import fc from "fast-check";
import { type Backend, key, read, scope, type Tensor, tensor } from "../../core/mod.ts";
import { factorised } from "../../ops/factorised.ts";
import {
  identity,
  matmul,
  multiply,
  normal,
  orderStatistic,
  qr,
  randomizedSvd,
  svd,
  zeros,
} from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose } from "../support/assert.ts";
import { BACKENDS, withBackend } from "../support/backends.ts";

interface Golden {
  readonly shape: readonly [number, number];
  readonly x: readonly number[];
  readonly q: readonly number[];
  readonly r: readonly number[];
  readonly u: readonly number[];
  readonly s: readonly number[];
  readonly vt: readonly number[];
}

const goldens: readonly Golden[] = JSON.parse(
  Deno.readTextFileSync(new URL("../oracles/golden/linalg.json", import.meta.url)),
);

/** |qᵀ q − 1| at most. */
async function departure(q: Tensor, rows: boolean): Promise<number> {
  const gram = matmul(q, q, rows ? { transposeB: true } : { transposeA: true });
  const [found, unit] = [await read(gram), await read(identity(gram.shape[0]!, q.backend))];
  return Math.max(...found.map((value, i) => Math.abs(value - unit[i]!)));
}

/** A matrix of rank at most r: the product of two Gaussian ones. */
const ofRank = (m: number, n: number, r: number, seed: number, backend: Backend): Tensor =>
  r === 0
    ? zeros([m, n], backend)
    : matmul(normal(key(seed), [m, r], backend), normal(key(seed + 1), [r, n], backend));

const shapes = fc.record({
  m: fc.integer({ min: 1, max: 24 }),
  n: fc.integer({ min: 1, max: 24 }),
  r: fc.integer({ min: 0, max: 24 }),
  seed: fc.nat(1e6),
});

for (const name of BACKENDS) {
  Deno.test(`qr() and svd() equal numpy's (${name})`, () =>
    withBackend(name, async (backend) => {
      for (const { shape, ...expected } of goldens) {
        const x = tensor(expected.x, { backend, shape });
        const found = { ...qr(x), ...svd(x) };
        for (const part of ["q", "r", "u", "s", "vt"] as const) {
          // 3e-7: one rounding to f32 of numbers computed in f64.
          assertClose(await read(found[part]), expected[part], 3e-7, `${part} of ${shape}`);
        }
      }
    }));

  Deno.test(`qr() gives back the matrix for any shape and rank (${name})`, () =>
    withBackend(name, async (backend) => {
      await fc.assert(
        fc.asyncProperty(shapes, async ({ m, n, r, seed }) => {
          const x = ofRank(m, n, r, seed, backend);
          const { q, r: upper } = qr(x);
          assertClose(await read(matmul(q, upper)), await read(x), r === 0 ? 0 : 2e-6, "q r");
          assert.ok(await departure(q, false) < 2e-6);
          const triangle = await read(upper);
          triangle.forEach((value, at) => {
            const [i, j] = [Math.floor(at / n), at % n];
            assert.ok(j < i ? value === 0 : j > i || value >= 0, `r[${i}, ${j}] = ${value}`);
          });
        }),
        { numRuns: 40 },
      );
    }));

  Deno.test(`svd() gives back the matrix for any shape and rank (${name})`, () =>
    withBackend(name, async (backend) => {
      await fc.assert(
        fc.asyncProperty(shapes, async ({ m, n, r, seed }) => {
          const x = ofRank(m, n, r, seed, backend);
          const { u, s, vt } = svd(x);
          assertClose(await read(matmul(multiply(u, s), vt)), await read(x), r === 0 ? 0 : 2e-6, "u s vt");
          assert.ok(await departure(u, false) < 2e-6, "u is orthonormal, whatever the rank");
          assert.ok(await departure(vt, true) < 2e-6, "vt is orthonormal");
          const values = await read(s);
          values.forEach((value, i) => {
            assert.ok(value >= 0 && (i === 0 || value <= values[i - 1]!));
            if (i >= r) assert.ok(value <= 1e-5 * values[0]!, `rank ${r} but s[${i}] = ${value}`);
          });
          const left = await read(u);
          for (let j = 0; j < s.size; j++) {
            const column = Array.from({ length: m }, (_, i) => left[i * s.size + j]!);
            const largest = column.reduce((a, b) => Math.abs(b) > Math.abs(a) ? b : a);
            assert.ok(largest > 0, "the entry of largest magnitude is positive");
          }
        }),
        { numRuns: 40 },
      );
    }));

  Deno.test(`randomizedSvd() finds the leading triples and repeats by key (${name})`, () =>
    withBackend(name, async (backend) => {
      for (const [m, n] of [[40, 25], [25, 40], [12, 12]] as const) {
        const x = ofRank(m, n, 5, m, backend);
        const exact = svd(x);
        const near = randomizedSvd(x, { rank: 3, key: key(1) });
        assert.deepEqual([near.u.shape, near.s.shape, near.vt.shape], [[m, 3], [3], [3, n]]);
        assertClose(await read(near.s), (await read(exact.s)).slice(0, 3), 2e-6, "s");
        const leadingRows = (await read(exact.vt)).slice(0, 3 * n);
        assertClose(await read(near.vt), leadingRows, 1e-5, "vt, signs included");
        const again = randomizedSvd(x, { rank: 3, key: key(1) });
        assert.deepEqual(await read(again.u), await read(near.u));
        const other = randomizedSvd(x, { rank: 3, iterations: 0, oversampling: 0, key: key(2) });
        assert.notDeepEqual(await read(other.s), await read(near.s));
      }
    }));

  Deno.test(`orderStatistic() equals sorting (${name})`, () =>
    withBackend(name, async (backend) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 50 }),
          fc.nat(),
          async (values, at) => {
            const rank = at % values.length;
            const found = await read(orderStatistic(tensor(values, { backend }), rank));
            assert.equal(found[0], [...values].sort((a, b) => a - b)[rank]);
          },
        ),
        { numRuns: 50 },
      );
    }));

  Deno.test(`svd() and qr() refuse what they cannot factor (${name})`, () =>
    withBackend(name, (backend) => {
      const bad = tensor([[1, NaN], [2, 3]], { backend });
      assert.throws(() => svd(bad), { name: "RangeError", message: /Cannot svd \[2, 2\]: .*not finite/ });
      assert.throws(() => qr(tensor([1, 2], { backend })), /Cannot qr \[2\]: expected a matrix/);
      assert.throws(() => svd(zeros([0, 3], backend)), /at least one element/);
      assert.throws(() => randomizedSvd(zeros([3, 2], backend), { rank: 3, key: key(0) }), /ranks 1 to 2/);
      assert.throws(() => orderStatistic(zeros([3], backend), 3), /place 3 of 3/);
      return Promise.resolve();
    }));
}

Deno.test("factorised() computes on the host where a backend has no factorisations", async () => {
  const { svd: _, ...rest } = reference();
  const x = scope(() => tensor([[3, 0], [4, 5]], { backend: rest }));
  assert.throws(() => svd(x), /has no svd/);
  const { s, u } = await factorised(x, svd);
  assert.equal(s.backend, rest);
  assertClose(await read(s), [Math.sqrt(45), Math.sqrt(5)], 1e-6);
  assert.ok((await read(u))[2]! > 0);
});
