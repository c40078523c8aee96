/** NumPy's streams, bit for bit. */
import assert from "node:assert/strict";
import { numpyBelow, numpyChoice, numpyShuffle, pcg64 } from "../../numerics/numpy_random.ts";
import { GOLDEN } from "../support/golden.ts";

Deno.test("numpyBelow(), numpyChoice() and numpyShuffle() equal NumPy's", () => {
  const golden = JSON.parse(
    Deno.readTextFileSync(`${GOLDEN}peft_shared_vectors/numpy_random.json`),
  ) as readonly {
    readonly seed: number;
    readonly below: readonly (readonly [n: number, numbers: readonly number[]])[];
    readonly chosen: readonly (readonly [n: number, k: number, first: readonly number[]])[];
    readonly shuffled: readonly number[];
  }[];
  for (const { seed, below, chosen, shuffled } of golden) {
    const next = pcg64(seed);
    for (const [n, numbers] of below) assert.deepEqual(numbers.map(() => numpyBelow(next, n)), numbers);
    for (const [n, k, first] of chosen) {
      assert.deepEqual([...numpyChoice(next, n, k).subarray(0, first.length)], first, `${k} of ${n}`);
    }
    const values = Int32Array.from(shuffled, (_, i) => i);
    numpyShuffle(next, values);
    assert.deepEqual([...values], shuffled);
  }
});
