/** S4's groups of blocks: a spindle wherever there is one, N₁ < N₂ = N₃ > N₄ (arXiv 2301.01821, section 4). */
import assert from "node:assert/strict";
import { adapt, dispose, leaves, type Tree } from "../../../core/mod.ts";
import { s4 } from "../../../methods/mod.ts";
import { spindle } from "../../../methods/hybrids/s4_sizes.ts";
import { freshModel, smallConfig } from "../../../models/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";
import { s4Groups } from "../../../tuning/method_sizes.ts";

type Four = readonly [number, number, number, number];

const isSpindle = ([a, b, c, d]: Four): boolean => a >= 1 && d >= 1 && a < b && b === c && c > d;

/** Every split of so many blocks into a spindle, by trial. */
function spindlesOf(blocks: number): readonly Four[] {
  const found: Four[] = [];
  for (let first = 1; first < blocks; first++) {
    for (let middle = first + 1; first + 2 * middle < blocks; middle++) {
      const split = [first, middle, middle, blocks - first - 2 * middle] as const;
      if (isSpindle(split)) found.push(split);
    }
  }
  return found;
}

/** What was chosen before some counts were no spindles: right wherever it is one. */
function before(blocks: number): Four {
  const end = Math.round(blocks / 6);
  const middle = Math.floor((blocks - 2 * end) / 2);
  return [blocks - 2 * middle - end, middle, middle, end];
}

Deno.test("s4() splits 4 to 200 blocks into the spindle whose ends are most alike and nearest to a sixth", () => {
  for (let blocks = 4; blocks <= 200; blocks++) {
    const all = spindlesOf(blocks);
    if (all.length === 0) {
      assert.throws(
        () => spindle(blocks),
        (error: Error) =>
          error instanceof RangeError && error.message.includes(`since ${blocks} blocks cannot be split`),
      );
      continue;
    }
    const found = spindle(blocks);
    assert.equal(found.reduce((a, b) => a + b, 0), blocks);
    assert.ok(isSpindle(found), `${blocks}: ${found}`);
    const uneven = ([a, , , d]: Four): number => Math.abs(a - d);
    assert.equal(uneven(found), Math.min(...all.map(uneven)), `${blocks}: the ends of ${found}`);
    assert.ok(found[0] >= found[3], `${blocks}: the first group takes what is left over`);
    const alike = all.filter((split) => uneven(split) === uneven(found) && split[0] >= split[3]);
    const off = ([, , , d]: Four): number => Math.abs(6 * d - blocks);
    assert.equal(off(found), Math.min(...alike.map(off)), `${blocks}: the last of ${found}`);
    if (isSpindle(before(blocks))) assert.deepEqual(found, before(blocks), "what was right stays");
  }
});

Deno.test("s4() of 9, 11 and 15 blocks is a spindle, of 12 and 24 as before, and of 7 blocks refused by the count", () => {
  const expected: readonly (readonly [number, Four])[] = [
    [6, [1, 2, 2, 1]],
    [8, [1, 3, 3, 1]],
    [9, [2, 3, 3, 1]],
    [11, [2, 4, 4, 1]],
    [12, [2, 4, 4, 2]],
    [15, [3, 5, 5, 2]],
    [24, [4, 8, 8, 4]],
  ];
  for (const [blocks, sizes] of expected) {
    const model = freshModel(smallConfig("gpt2", { layers: blocks }), { backend: shapesOnly(), key: 0 });
    const { params } = adapt(model, s4({ budget: 1000 * blocks }));
    const found = Object.values(params["decoder"] as Tree).map((group) =>
      new Set(leaves(group as Tree).map(([path]) => /\.h\.(\d+)\./.exec(path)![1])).size
    );
    assert.deepEqual(found, [...sizes], `${blocks} blocks`);
    dispose(params);
    model.dispose();
  }
  for (const blocks of [4, 5, 7]) {
    const model = freshModel(smallConfig("gpt2", { layers: blocks }), { backend: shapesOnly(), key: 0 });
    assert.throws(
      () => adapt(model, s4({ budget: 1000 * blocks })),
      (error: Error) =>
        error instanceof RangeError && error.message.startsWith(`Expected groups, since ${blocks} blocks `),
    );
    // The command line has groups for these, narrow at both ends.
    const groups = s4Groups(model.spec)!;
    assert.equal(groups.reduce((a, b) => a + b, 0), blocks);
    dispose(adapt(model, s4({ budget: 1000 * blocks, groups })).params);
    model.dispose();
  }
});

Deno.test("s4() without groups wants four lists of parts", () => {
  assert.throws(() => s4({ budget: 9, parts: [["lora"], ["adapter"]] }), {
    name: "RangeError",
    message: "Expected as many groups as lists of parts, 2, but found 4",
  });
});
