/** The largest elements of several tensors, against sorting. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { tensor } from "../../core/mod.ts";
import { largest } from "../../ops/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { BACKENDS, withBackend } from "../support/backends.ts";

const number = fc.oneof(
  fc.float({ noNaN: true }),
  fc.constantFrom(0, -0, 1, -1, 2, Infinity, -Infinity, 1e-45, -1e-45), // many equal ones
);

for (const name of BACKENDS) {
  Deno.test(`largest() takes what a stable sort takes (${name})`, () =>
    withBackend(name, (backend) =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(number, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 4 }),
          fc.nat(),
          (lists, seed) =>
            assertNoLeak(async () => {
              const parts = lists.map((list) => tensor(list, { backend }));
              const all = lists.flatMap((list, part) => list.map((x, i) => ({ x: Math.fround(x), part, i })));
              const k = seed % (all.length + 1);
              const order = [...all].sort((a, b) => a.x === b.x ? 0 : b.x > a.x ? 1 : -1);
              const lists2 = (taken: typeof all) =>
                lists.map((_, part) =>
                  Int32Array.from(taken.filter((e) => e.part === part).map((e) => e.i)).sort()
                );
              assert.deepEqual(await largest(parts, k), lists2(order.slice(0, k)));
              const last = order[k - 1]?.x;
              const equal = k === 0 ? [] : all.filter(({ x }) => x >= last!);
              assert.deepEqual(await largest(parts, k, "all"), lists2(equal));
              for (const t of parts) t.storage.free();
            }),
        ),
      )));

  Deno.test(`largest() refuses NaN and more elements than there are (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const x = tensor([1, NaN, -NaN], { backend });
        await assert.rejects(largest([x], 1), /^RangeError: Cannot rank elements: number 1 of \[3\] is NaN$/);
        await assert.rejects(
          largest([x], 4),
          /^RangeError: Expected to keep from 0 up to 3 elements but found 4$/,
        );
        await assert.rejects(largest([x], 0.5), /but found 0\.5$/);
        x.storage.free();
      })));
}
