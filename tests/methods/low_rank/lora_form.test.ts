/** LoRA from ranks by layer, as files of factors have them: s is α / r at each layer, whatever the ranks. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { loraOfRanks, type LoraOptions, loraRank, loraScale } from "../../../methods/mod.ts";

const paths = ["layers.0.q_proj", "layers.1.q_proj", "layers.10.q_proj"];
const ranks = fc.tuple(
  fc.integer({ min: 1, max: 9 }),
  fc.integer({ min: 1, max: 9 }),
  fc.integer({ min: 1, max: 9 }),
)
  .map((each) => Object.fromEntries(paths.map((path, i) => [path, each[i]!])));

Deno.test("each layer has its rank, and s = α / r, or 1 without an α", () => {
  fc.assert(
    fc.property(ranks, fc.option(fc.integer({ min: 1, max: 32 }), { nil: undefined }), (ranks, alpha) => {
      const method = loraOfRanks(ranks, { ...alpha !== undefined && { alpha }, targets: ["q_proj"] });
      const options = method.config as LoraOptions;
      for (const [path, rank] of Object.entries(ranks)) {
        assert.equal(loraRank(path, options), rank);
        assert.equal(loraScale(path, options), (alpha ?? rank) / rank);
      }
    }),
  );
});

Deno.test("layers of one rank need no pattern", () => {
  const { config } = loraOfRanks({ "a.q_proj": 4, "b.q_proj": 4 }, { targets: ["q_proj"] });
  assert.deepEqual(config, { rank: 4, alpha: 4, targets: ["q_proj"] });
});
