/** exp, log and their relatives beside mpmath's values, which are rounded correctly. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  exp,
  expm1,
  hypot,
  log,
  log1p,
  log2,
  powerOfTwo,
  scaled,
  splitAtTwo,
  tanh,
} from "../../elementary/exponential.ts";
import { GOLDEN } from "../support/golden.ts";
import { apart, fromHex } from "../support/units.ts";

const cases: Readonly<Record<string, readonly (readonly string[])[]>> = JSON.parse(
  readFileSync(`${GOLDEN}elementary.json`, "utf8"),
);

/** How many units in the last place a value may lie beside the correctly rounded one. */
const FUNCTIONS: readonly (readonly [string, (x: number) => number, number])[] = [
  ["exp", exp, 1],
  ["expm1", expm1, 1],
  ["log", log, 1],
  ["log1p", log1p, 1],
  ["log2", log2, 2],
  ["tanh", tanh, 2],
];

for (const [name, f, most] of FUNCTIONS) {
  Deno.test(`${name}() is mpmath's to ${most} in the last place, and mostly to the bit`, () => {
    const rows = cases[name]!.map(([x, y]) => [fromHex(x!), fromHex(y!)] as const);
    const distances = rows.map(([x, y]) => apart(f(x), y));
    const worst = distances.indexOf(Math.max(...distances));
    assert.ok(distances[worst]! <= most, `${name}(${rows[worst]![0]}): ${distances[worst]} apart`);
    assert.ok(distances.filter((d) => d === 0).length > 0.75 * rows.length);
  });
}

Deno.test("infinities, zeros and what is no number go through as in Math", () => {
  const odd = [0, -0, 1, -1, Infinity, -Infinity, NaN, 710, -746, 1e308, -1e308];
  const pairs = [[exp, Math.exp], [expm1, Math.expm1], [log, Math.log], [log1p, Math.log1p], [
    log2,
    Math.log2,
  ], [
    tanh,
    Math.tanh,
  ]] as const;
  for (const [own, engine] of pairs) {
    for (const x of odd) assert.ok(apart(own(x), engine(x)) <= 2, `${engine.name}(${x}): ${own(x)}`);
  }
});

Deno.test("log2() of powers of two, and scaling by them, are exact", () => {
  for (let k = -1074; k < 1024; k++) assert.equal(log2(powerOfTwo(k)), k);
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: 5e-324 }), (x) => {
    const [m, k] = splitAtTwo(x);
    assert.ok(m >= 1 && m < 2);
    assert.equal(scaled(m, k), x);
  }));
});

Deno.test("hypot() is a right triangle's, and overflows only where its value does", () => {
  assert.equal(hypot(3, 4), 5);
  assert.equal(hypot(-1e308, 1e308), Math.SQRT2 * 1e308);
  assert.equal(hypot(0, -0), 0);
  assert.equal(hypot(NaN, Infinity), Infinity);
  assert.ok(Number.isNaN(hypot(NaN, 1)));
});
