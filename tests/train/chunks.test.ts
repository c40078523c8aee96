/** Chunks of micro-batches: every row once and in order, no chunk above its size, none without labels. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { key } from "../../core/mod.ts";
import { chunksOf, planEpoch } from "../../train/mod.ts";

Deno.test("chunksOf() keeps rows and labels, and cuts what is longer than a chunk", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ length: fc.integer({ min: 1, max: 50 }), targets: fc.integer({ min: 0, max: 9 }) }),
        {
          minLength: 1,
          maxLength: 20,
        },
      ),
      fc.integer({ min: 1, max: 200 }),
      (examples, most) => {
        const sizes = {
          lengths: examples.map(({ length }) => length),
          targets: examples.map(({ targets }) => targets),
        };
        const rows = examples.map((_, n) => [n]);
        const targets = sizes.targets.reduce((a, b) => a + b);
        const chunks = chunksOf({ rows, targets }, sizes, most);
        assert.deepEqual(chunks.flatMap((chunk) => chunk.rows), rows);
        assert.equal(chunks.reduce((sum, chunk) => sum + chunk.targets, 0), targets);
        if (targets > 0) assert.ok(chunks.every((chunk) => chunk.targets > 0));
        if (sizes.targets.every((n) => n > 0)) {
          const longest = Math.max(...sizes.lengths);
          for (const chunk of chunks) {
            assert.ok(chunk.rows.length === 1 || chunk.rows.length * longest <= most + longest);
          }
        }
      },
    ),
  );
});

Deno.test("planEpoch() cuts the micro-batches of a step into chunks, and counts steps as before", () => {
  const sizes = {
    lengths: Array.from({ length: 13 }, (_, i) => 5 + i),
    targets: Array.from({ length: 13 }, () => 2),
  };
  const options = { batching: { kind: "buckets", batchSize: 4 }, accumulate: 2, key: key(0) } as const;
  const whole = planEpoch(sizes, options, 0);
  const cut = planEpoch(sizes, { ...options, chunkTokens: 20 }, 0);
  assert.equal(cut.length, whole.length);
  assert.deepEqual(cut.map(({ targets }) => targets), whole.map(({ targets }) => targets));
  assert.deepEqual(
    cut.map(({ microBatches }) => microBatches.flatMap(({ rows }) => rows)),
    whole.map(({ microBatches }) => microBatches.flatMap(({ rows }) => rows)),
  );
  assert.ok(cut[0]!.microBatches.length > 2);
});
