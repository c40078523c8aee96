/** Random permutations permute, by the key alone, and evenly. */
import assert from "node:assert/strict";
import { key, read, scope } from "../../core/mod.ts";
import { randomPermutation } from "../../ops/mod.ts";
import { withBackend } from "../support/backends.ts";

Deno.test("randomPermutation() permutes, by the key alone, and evenly", () =>
  withBackend("reference", async (backend) => {
    const draw = async (seed: number, n: number): Promise<readonly number[]> => {
      const t = scope(() => randomPermutation(key(seed), n, backend));
      const ids = [...await read(t)];
      t.storage.free();
      return ids;
    };
    for (const n of [1, 2, 4, 8, 128, 512, 8192]) {
      assert.deepEqual([...await draw(3, n)].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    }
    assert.deepEqual(await draw(3, 128), await draw(3, 128));
    assert.notDeepEqual(await draw(3, 128), await draw(4, 128));
    assert.throws(() => randomPermutation(key(3), 100, backend), /power of two of places but found 100/);
    // Where a place goes, and how far from its neighbour: 16 equal bins, each met 4096 / 16 = 256 times on average with a
    // deviation of 15.5.
    const n = 1024;
    const [places, steps] = [new Array<number>(16).fill(0), new Array<number>(16).fill(0)];
    for (let seed = 0; seed < 64; seed++) {
      const order = await draw(seed, n);
      for (let i = 0; i < 64; i++) {
        const at = (i * 331 + seed) % (n - 1);
        places[order[at]! >> 6]!++;
        steps[((order[at + 1]! - order[at]!) & (n - 1)) >> 6]!++;
      }
    }
    for (const found of [...places, ...steps]) assert.ok(Math.abs(found - 256) < 80, `${places}; ${steps}`);
    // Both orders of two places.
    const pairs = await Promise.all(Array.from({ length: 200 }, (_, seed) => draw(seed, 2)));
    assert.ok(Math.abs(pairs.filter(([first]) => first === 0).length - 100) < 35);
  }));
