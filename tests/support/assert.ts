/** Assertions on numbers, and the guard that no live byte is left behind. */
import assert from "node:assert/strict";
import { memory } from "../../core/mod.ts";

/** Every element within `tolerance` of the expected, measured against the largest expected magnitude. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = "values",
): void {
  assert.equal(actual.length, expected.length, `${what}: lengths differ`);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert.ok(
      difference <= tolerance * Math.max(largest, 1e-30),
      `${what}[${i}]: expected ${expected[i]} but found ${actual[i]}, off by ${difference} of ${largest}`,
    );
  }
}

/** Runs a test body and checks that live bytes are the same before and after. */
export async function assertNoLeak(f: () => unknown): Promise<void> {
  const before = memory().live;
  await f();
  assert.equal(memory().live, before, "live bytes left behind");
}
