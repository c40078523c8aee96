/** ltSft(), ltSftLeaves(): the laws of methods, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { weightLeaves } from "../../../core/mod.ts";
import { ltSft } from "../../../methods/mod.ts";
import { ltSftLeaves } from "../../../methods/selective/lt_sft_leaves.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { elements } from "../../support/law_counts.ts";
import { trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, publishedCount, withShapes } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";
import { everyNinth, everySeventh } from "../../support/sparse_masks.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

methodLaws("ltSft() with a pull", {
  method: (model) => ({ method: ltSft({ mask: { ...everySeventh(model), whole: [] }, pull: 0.3 }) }),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
  unlikeDifferences: () => false,
});

trains("ltSft()", (model) => ltSft({ mask: everyNinth(model), pull: 0.1 }));
publishedCount(
  "ltSft() at 14,155,776 is 7.96 % of mBERT's shape, and stores as many values as indices",
  () =>
    withShapes(bertOf(768, 12, 119_547), (mbert) => {
      const size = elements(mbert, /./) + 768 * 768 + 768; // with the pooler
      assert.equal((100 * 14_155_776 / size).toFixed(2), "7.96");
      assert.equal(14_155_776, 12 * 2 * 768 * 768);
      const [path, leaf] = weightLeaves(mbert.weights)[0]!;
      const mask = {
        leaves: [{ path, shape: leaf.shape, indices: Int32Array.from({ length: 1000 }, (_, i) => i) }],
        whole: [],
      };
      const { trainable, changed, stored } = countsOf(bertOf(768, 12, 119_547), ltSft({ mask })).trained;
      assert.deepEqual([trainable, changed, stored], [1000, 1000, 2000]);
    }),
);
Deno.test("ltSftLeaves() refuses names of frozen leaves that match nothing", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    for (const frozen of [["nrm.weight"], /nrm.*/]) {
      assert.throws(
        () => ltSftLeaves(model, { frozen }),
        /^RangeError: Cannot place lt-sft: no weight is called .*nrm.*, which frozen names$/,
      );
    }
    model.dispose();
  }));
