/** Rising integers and their bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { packIncreasing, unpackIncreasing } from "../../formats/delta_encoding.ts";

Deno.test("packIncreasing() is LEB128 of the gaps, as Wikipedia's example has it", () => {
  // 624485 is E5 8E 26; then a gap of 1 and one of 129.
  assert.deepEqual([...packIncreasing(Int32Array.of(624_485, 624_486, 624_615))], [
    0xE5,
    0x8E,
    0x26,
    0,
    0x80,
    0x01,
  ]);
});

Deno.test("unpackIncreasing() is its inverse, up to the largest index", () =>
  fc.assert(
    fc.property(fc.uniqueArray(fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 2 ** 31 - 1 }))), (list) => {
      const numbers = Int32Array.from(list).sort();
      assert.deepEqual(unpackIncreasing(packIncreasing(numbers)), numbers);
    }),
  ));

Deno.test("packIncreasing() and unpackIncreasing() refuse what does not rise, and bytes that are none of theirs", () => {
  for (const numbers of [[1, 1], [2, 1], [-1]]) {
    assert.throws(
      () => packIncreasing(Int32Array.from(numbers)),
      /^RangeError: Expected integers that rise from 0/,
    );
  }
  assert.throws(
    () => unpackIncreasing(Uint8Array.of(5, 0x80)),
    /^SyntaxError: .* the bytes end inside a number$/,
  );
  assert.throws(
    () => unpackIncreasing(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x10)),
    /^SyntaxError: .* number 0 is/,
  );
});

Deno.test("the indices of a mask of 0.5 % take under 1.6 bytes each", () => {
  const numbers: number[] = [];
  let state = 1;
  for (let i = 0; i < 2e6; i++) {
    state = (state * 48_271) % 2_147_483_647; // Park and Miller's generator
    if (state < 0.005 * 2_147_483_647) numbers.push(i);
  }
  const { length } = packIncreasing(Int32Array.from(numbers));
  assert.ok(length < 1.6 * numbers.length, `${length / numbers.length}`);
});
