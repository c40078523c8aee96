/** FAR's reconfiguration computes what the layer computed, and its inverse gives the layer back bit for bit. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesOf, keep, key, read, scope, type Synchronous, type Tensor } from "../../../core/mod.ts";
import { absorbed, reconfigure, restore } from "../../../methods/mod.ts";
import { add, concat, gatherLast, matmul, normal, reshape } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";

const backend = reference();
const rising = (out: number): fc.Arbitrary<number[]> =>
  fc.uniqueArray(fc.nat({ max: out - 1 }), { minLength: 1, maxLength: out - 1 })
    .map((list) => list.sort((a, b) => a - b));

Deno.test("reconfigure() computes the same outputs, restore() is its inverse, absorbed() needs no order", () =>
  fc.assert(
    fc.asyncProperty(
      fc.tuple(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 5 }), fc.nat({ max: 1e6 }))
        .chain(([out, width, seed]) => fc.tuple(fc.constant([out, width, seed] as const), rising(out))),
      ([[out, width, seed], learners]) =>
        assertNoLeak(async () => {
          const random = (name: number, shape: readonly number[]) =>
            scope((): Synchronous<Tensor> => normal(key(10 * seed + name), shape, backend));
          const made = keep({
            weight: random(0, [out, width]),
            bias: random(1, [out]),
            x: random(2, [3, width]),
            next: random(3, [4, out]),
          });
          const { weight, bias, x, next } = made.tree;
          const result = keep(scope((): Synchronous<Record<string, Tensor>> => {
            const split = reconfigure({ weight, bias }, learners);
            assert.deepEqual(split.learning.weight.shape, [learners.length, width]);
            const parts = [split.frozen, split.learning].map((part) =>
              add(matmul(x, part.weight, { transposeB: true }), part.bias!)
            );
            const side = concat(parts, 1); // [3, out]
            const order = concat([0, 1, 2].map(() => reshape(split.order, [1, out])), 0); // one copy per row
            const back = restore(split);
            const y = add(matmul(x, weight, { transposeB: true }), bias);
            return {
              y,
              ordered: gatherLast(side, order),
              weight: back.weight,
              bias: back.bias!,
              after: matmul(y, next, { transposeB: true }),
              afterSide: matmul(side, absorbed(next, split), { transposeB: true }),
            };
          }));
          const r = result.tree;
          assertClose(await read(r["ordered"]!), await read(r["y"]!), 1e-6, "outputs");
          assertClose(await read(r["afterSide"]!), await read(r["after"]!), 1e-5, "the next layer's outputs");
          assert.deepEqual(await bytesOf(r["weight"]!), await bytesOf(weight));
          assert.deepEqual(await bytesOf(r["bias"]!), await bytesOf(bias));
          result.dispose();
          made.dispose();
        }),
    ),
    { numRuns: 30 },
  ));

Deno.test("reconfigure() refuses rows that are none, repeat, or are all", () =>
  assertNoLeak(() => {
    const weight = scope((): Synchronous<Tensor> => normal(key(0), [3, 2], backend));
    for (const learners of [[], [0, 1, 2], [1, 1], [3], [2, 1]]) {
      assert.throws(
        () => reconfigure({ weight }, learners),
        /^RangeError: Expected some of the rows of \[3, 2\], rising, but found/,
      );
    }
    weight.storage.free();
  }));
