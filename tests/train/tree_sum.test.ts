/** Sums of chunks: the same bits for any number of ranks, and the order that the tree says. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { dispose, read, type Tensor, tensor, type Tree } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { ownerOf, treeSum } from "../../train/tree_sum.ts";
import { assertNoLeak } from "../support/assert.ts";
import { worldsOf } from "../support/worlds.ts";

/** a + b in f32. */
const plus = (a: number, b: number): number => Math.fround(a + b);

/** The tree by its definition: the first 2ᵏ, plus the others. */
function treeOf(numbers: readonly number[]): number {
  if (numbers.length === 1) return numbers[0]!;
  let half = 1;
  while (half * 2 < numbers.length) half *= 2;
  return plus(treeOf(numbers.slice(0, half)), treeOf(numbers.slice(half)));
}

Deno.test("treeSum() is the tree's sum on every rank, for any number of chunks and ranks", () =>
  assertNoLeak(() =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
          minLength: 1,
          maxLength: 17,
        }),
        fc.integer({ min: 1, max: 7 }),
        async (numbers, size) => {
          const backend = reference();
          const expected = treeOf(numbers);
          const like: Tree = { a: tensor([0, 0], { backend }) };
          const asked: number[] = [];
          const found = await Promise.all(
            worldsOf(size).map((world) =>
              treeSum(world, numbers.length, like, (i) => {
                asked.push(i);
                return { a: tensor([numbers[i]!, -numbers[i]!], { backend }) };
              })
            ),
          );
          assert.deepEqual(asked.sort((a, b) => a - b), numbers.map((_, i) => i)); // each chunk once
          for (const total of found) {
            const [one, other] = await read(total["a"] as Tensor);
            assert.ok(Object.is(one, expected) || one === expected, `${one} is not ${expected}`);
            assert.equal(other, -one!);
          }
          dispose([like, ...found]);
        },
      ),
      { numRuns: 100 },
    )
  ));

Deno.test("ownerOf() shares consecutive chunks out, nearly as many to each rank", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 20 }), (chunks, size) => {
      const owners = Array.from({ length: chunks }, (_, i) => ownerOf(i, chunks, { size }));
      assert.ok(owners.every((owner, i) => owner >= (owners[i - 1] ?? 0) && owner < size));
      const counts = Array.from({ length: size }, (_, r) => owners.filter((owner) => owner === r).length);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join(" "));
    }),
  );
});
