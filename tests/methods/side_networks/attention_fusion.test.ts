/** attentionFusion(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { attentionFusion } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { needsPlaces } from "../../support/bad_options.ts";
import { freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, just, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, publishedCount } from "../../support/published_counts.ts";
import { BERT_BASE } from "../../support/published_shapes.ts";

for (const embedding of ["included", "excluded"] as const) {
  methodLaws(`attentionFusion() with the embedded input ${embedding}`, {
    method: just(attentionFusion({ embedding, scale: "root", query: "normal" })),
    atInit: "other",
    merges: "no",
    counts: () => added(WIDTH),
  });
}

lowersLoss("attention-fusion", attentionFusion(), 0.1);
freshNumbers(
  "attentionFusion()",
  async ({ numbers }) => assert.equal(largestOf(await numbers(attentionFusion(), /query/)), 0),
);
publishedCount("attentionFusion() of BERT-base trains one vector, 0.0007 %", () => {
  const { trainable, base } = countsOf(BERT_BASE, attentionFusion()).trained;
  assert.equal(trainable, 768);
  assert.equal((100 * trainable / base).toFixed(4), "0.0007");
});
needsPlaces("attentionFusion()", attentionFusion(), /Cannot place attention-fusion on none/);
adapterHubCase(
  "attention_fusion",
  ["bert_text"],
  attentionFusion({ embedding: "included", scale: "root" }),
);
adapterHubCase("attention_fusion", ["llama"], attentionFusion());
