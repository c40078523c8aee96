/** Keys: the generator equals its authors' test vectors, and streams are what backends fill tensors with. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { bitsAt, fold, type Key, key, read, split, threefry } from "../../core/mod.ts";
import { uniform } from "../../ops/mod.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";

const keys: fc.Arbitrary<Key> = fc.record({
  a: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  b: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

// kat_vectors of Random123 (Salmon et al. 2011), threefry2x32 with 20 rounds; the third is of digits of π.
const KNOWN = [
  [{ a: 0, b: 0 }, [0, 0], [0x6b200159, 0x99ba4efe]],
  [{ a: 0xffffffff, b: 0xffffffff }, [0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
  [{ a: 0x13198a2e, b: 0x03707344 }, [0x243f6a88, 0x85a308d3], [0xc4923a9c, 0x483df7a0]],
] as const;

Deno.test("threefry() gives the known answers of Random123", () => {
  for (const [k, [x0, x1], expected] of KNOWN) assert.deepEqual(threefry(k, x0, x1), expected);
});

Deno.test("threefry() maps different counters to different blocks", () =>
  fc.assert(
    fc.property(keys, fc.nat(), fc.nat(), (k, i, j) => {
      fc.pre(i !== j);
      assert.notDeepEqual(threefry(k, i, 0), threefry(k, j, 0));
    }),
  ));

Deno.test("key() takes seeds up to 2^53 − 1 and refuses others", () => {
  assert.deepEqual(key(2 ** 32 + 5), { a: 1, b: 5 });
  assert.deepEqual(key({ a: 1, b: 2 }), { a: 1, b: 2 });
  for (const seed of [-1, 0.5, NaN, 2 ** 53]) {
    assert.throws(() => key(seed), /^RangeError: Expected the seed to be a non-negative integer but found/);
  }
});

Deno.test("fold() tells names, numbers and orders apart", () =>
  fc.assert(
    fc.property(keys, fc.string(), fc.string(), fc.nat(), (k, s, t, n) => {
      fc.pre(s !== t);
      assert.deepEqual(fold(k, s), fold(k, s));
      assert.notDeepEqual(fold(k, s), fold(k, t));
      assert.notDeepEqual(fold(k, n), fold(k, n + 1));
      assert.notDeepEqual(fold(fold(k, s), t), fold(fold(k, t), s));
    }),
  ));

Deno.test("split() gives independent keys", () =>
  fc.assert(
    fc.property(keys, fc.integer({ min: 2, max: 50 }), (k, n) => {
      assert.equal(new Set(split(k, n).map(({ a, b }) => `${a},${b}`)).size, n);
    }),
  ));

Deno.test("uniform() is the top 24 bits of the key's stream on every backend", async () => {
  for (const name of ALL_BACKENDS) {
    await withBackend(name, async (backend) => {
      const x = uniform(key(42), [101], backend);
      const expected = Array.from({ length: 101 }, (_, i) => (bitsAt(key(42), i) >>> 8) / 2 ** 24);
      assert.deepEqual([...await read(x)], expected, name);
      x.storage.free();
    });
  }
});
