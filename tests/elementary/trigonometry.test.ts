/** Sine and cosine beside mpmath's values, which are rounded correctly; the largest arguments, too. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cos, sin } from "../../elementary/trigonometry.ts";
import { GOLDEN } from "../support/golden.ts";
import { apart, fromHex } from "../support/units.ts";

const cases: Readonly<Record<string, readonly (readonly string[])[]>> = JSON.parse(
  readFileSync(`${GOLDEN}elementary.json`, "utf8"),
);

for (const [name, f] of [["sin", sin], ["cos", cos]] as const) {
  Deno.test(`${name}() is mpmath's to one in the last place, and mostly to the bit`, () => {
    const rows = cases[name]!.map(([x, y]) => [fromHex(x!), fromHex(y!)] as const);
    const distances = rows.map(([x, y]) => apart(f(x), y));
    const worst = distances.indexOf(Math.max(...distances));
    assert.ok(distances[worst]! <= 1, `${name}(${rows[worst]![0]}): ${distances[worst]} apart`);
    assert.ok(distances.filter((d) => d === 0).length > 0.9 * rows.length);
  });
}

Deno.test("signs and what is not finite are as in Math", () => {
  assert.ok(Object.is(sin(-0), -0));
  assert.equal(cos(0), 1);
  for (const x of [Infinity, -Infinity, NaN]) assert.ok(Number.isNaN(sin(x)) && Number.isNaN(cos(x)));
  for (const x of [0.3, 2, 4, 6, 1e5 + 0.5, 2e6 + 0.25]) {
    assert.equal(sin(-x), -sin(x));
    assert.equal(cos(-x), cos(x));
  }
});
