/** The benchmark's picture of growth shows the benchmark's last results. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { growthPicture, growthPoints } from "../../tools/growth_picture.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

Deno.test("bench/growth.svg is drawn from bench/results.json", () => {
  const points = growthPoints(JSON.parse(read("bench/results.json")).results);
  // Twice three series of five sizes.
  assert.equal(points.length, 30);
  assert.ok(points.every(({ size, factor }) => size >= 1 && factor > 0));
  assert.equal(read("bench/growth.svg"), growthPicture(points), "run deno task docs:picture");
});

Deno.test("growthPoints() says which row is missing", () => {
  assert.throws(() => growthPoints([]), /has no growth-tokens/);
});
