/** Powers beside mpmath's, to the bit; special cases as in Math.pow. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { pow } from "../../elementary/power.ts";
import { GOLDEN } from "../support/golden.ts";
import { fromHex } from "../support/units.ts";

const { pow: cases } = JSON.parse(readFileSync(`${GOLDEN}elementary.json`, "utf8")) as {
  readonly pow: readonly (readonly [string, string, string])[];
};

Deno.test("pow() is mpmath's correctly rounded power", () => {
  for (const [a, b, y] of cases) {
    assert.equal(pow(fromHex(a), fromHex(b)), fromHex(y), `${fromHex(a)} ** ${fromHex(b)}`);
  }
});

Deno.test("pow() of whole numbers that a number can hold is exact", () => {
  fc.assert(fc.property(fc.integer({ min: -200, max: 200 }), fc.integer({ min: 0, max: 6 }), (base, n) => {
    assert.equal(pow(base, n), Array.from({ length: n }, () => base).reduce((product, x) => product * x, 1));
  }));
});

Deno.test("pow() has Math.pow's special cases", () => {
  const bases = [-Infinity, -2.5, -2, -1, -0.5, -0, 0, 0.5, 1, 2, Infinity, NaN];
  const exponents = [
    -Infinity,
    -1e300,
    -(2 ** 53),
    -1075,
    -3,
    -2,
    -1,
    -0.5,
    -0,
    0,
    0.5,
    1,
    2,
    3,
    1024,
    2 ** 53,
    Infinity,
    NaN,
  ];
  for (const base of bases) {
    for (const exponent of exponents) {
      const [own, engine] = [pow(base, exponent), Math.pow(base, exponent)];
      assert.ok(Object.is(own, engine), `${base} ** ${exponent}: ${own} beside ${engine}`);
    }
  }
});
