/**
 * No number that a user sees rests on what engines round in their own ways: exp, log, powers and their like come from `elementary/`.
 */
import assert from "node:assert/strict";
import { codeOf, sourcesOfRooms } from "../tools/error_page.ts";

/** Rooms whose numbers reach users. */
const ROOMS = [
  "elementary",
  "tensor",
  "ops",
  "numerics",
  "core",
  "methods",
  "models",
  "formats",
  "train",
  "recipes",
  "io",
  "serve",
  "tuning",
];

/** Where the engine's own may stand, and why. */
const EXPLAINED: Readonly<Record<string, string>> = {
  "ops/wasm/arena.ts": "sizes of blocks of memory, next to a power of two; no number of a tensor",
  "ops/gpu/pool.ts": "sizes of buffers; no number of a tensor",
  "ops/gpu/stream.ts": "the size of a buffer; no number of a tensor",
};

/** Functions whose last bits the language leaves to the engine. `Math.sqrt` is exact. */
const FUNCTIONS = /\bMath\.(a?cosh?|a?sinh?|a?tanh?|atan2|cbrt|exp|expm1|hypot|log|log10|log1p|log2|pow)\b/;

/** What a source asks of the engine. */
export const askedOf = (source: string): readonly string[] => {
  const code = codeOf(source);
  const powers = [...code.matchAll(/([\w.)\]!]+) \*\* /g)].map(([, base]) => base!).filter((base) =>
    base !== "2"
  );
  return [
    ...[...code.matchAll(new RegExp(FUNCTIONS, "g"))].map(([name]) => name),
    ...powers.map((base) => `${base} **`),
  ];
};

Deno.test("what is asked of the engine is found", () => {
  assert.deepEqual(askedOf("const a = Math.exp(x) + Math.sqrt(2 ** 3) + x[0]! ** 2; // Math.log"), [
    "Math.exp",
    "0]! **",
  ]);
  assert.deepEqual(askedOf("table(Math.cos); 10 ** (i - 6); (2 ** -24); -(2 ** 31)"), ["Math.cos", "10 **"]);
});

Deno.test("no room asks the engine for exp, log, powers and their like", () => {
  assert.ok(FUNCTIONS.test("Math.tanh") && !FUNCTIONS.test("Math.sqrt") && !FUNCTIONS.test("Math.expand"));
  const asking = new Map(
    [...sourcesOfRooms(ROOMS)].map(([path, source]) => [path, askedOf(source)] as const)
      .filter(([, asked]) => asked.length > 0),
  );
  for (const path of Object.keys(EXPLAINED)) {
    assert.ok(asking.delete(path), `${path} is explained without need`);
  }
  assert.deepEqual([...asking], []);
});
