import assert from "node:assert/strict";
import fc from "fast-check";
import { barOf, histogram, percentile } from "../../../cli/terminal/histogram.ts";

Deno.test("a histogram counts every length once, in few bins that hold it", () => {
  fc.assert(fc.property(fc.array(fc.nat(5000), { minLength: 1 }), (lengths) => {
    const bins = histogram(lengths).split("\n").map((line) => {
      const [, from, to, count] = /^ *(\d+) – +(\d+) .*?(\d+)$/.exec(line)!.map(Number);
      return { from: from!, to: to!, count: count! };
    });
    assert.ok(bins.length <= 13);
    for (const { from, to, count } of bins) {
      assert.equal(count, lengths.filter((length) => length >= from && length <= to).length);
    }
    assert.equal(bins.reduce((sum, { count }) => sum + count, 0), lengths.length);
  }));
});

Deno.test("a bar is as long as its share, in eighths of a column", () => {
  assert.deepEqual([0, 0.5, 1, 0.5 / 8].map((share) => barOf(share, 2)), ["", "█", "██", "▏"]);
});

Deno.test("percentiles are the nearest rank", () => {
  // Wikipedia's example of the method
  const sorted = [15, 20, 35, 40, 50];
  assert.deepEqual([0.05, 0.3, 0.4, 0.5, 1].map((share) => percentile(sorted, share)), [15, 20, 20, 35, 50]);
});
