/** pfeiffer(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import { at, layers } from "../../../core/mod.ts";
import { houlsby, pfeiffer } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { neutralAtZero } from "../../support/bottleneck_starts.ts";
import { methodIsGolden } from "../../support/golden_method.ts";
import { added, bottleneck, just, LAYERS } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import {
  countsOf,
  normed,
  printedShares,
  publishedCount,
  trainableOf,
} from "../../support/published_counts.ts";
import { BERT_BASE, bertOf, ROBERTA_LARGE, T5_BASE } from "../../support/published_shapes.ts";

// "gelu", since differences of the loss stumble over the corner of "relu"; the golden case has "relu".
for (const reads of ["normed", "output"] as const) {
  methodLaws(`pfeiffer() reading ${reads}`, {
    method: just(pfeiffer({ reduction: 4, activation: "gelu", reads })),
    atInit: "other",
    merges: "no",
    counts: () => added(LAYERS * bottleneck(3)),
  });
}
methodLaws("at(layers(1), pfeiffer())", {
  method: just(at(layers(1), pfeiffer({ reduction: 4, activation: "tanh" }))),
  atInit: "other",
  merges: "no",
  counts: () => added(LAYERS * bottleneck(3) / 2),
});

Deno.test("pfeiffer() equals adapters' on a pre-norm Llama", () =>
  methodIsGolden("pfeiffer", pfeiffer({ reduction: 5 })));

badOptions("pfeiffer()", [
  [
    () => pfeiffer({ reduction: 0.5 }),
    /^Expected pfeiffer's option "reduction" to be a number of at least 1 but found 0.5$/,
  ],
]);
misfits("pfeiffer()", [
  [() => at(() => false, pfeiffer()), /^Cannot place pfeiffer: the model offers no feed-forward part/],
]);
neutralAtZero("pfeiffer()", pfeiffer({ reduction: 4 }));
publishedCount(
  "pfeiffer() has the counts of Compacter's table on T5-base, with norms, of BERT-base, and of what AdaMix leaves",
  () => {
    const after = houlsby({ reduction: 32, after: ["feedForward"] });
    const { trainable, base } = countsOf(T5_BASE, normed(after)).trained;
    assert.equal(base, 222_903_552);
    assert.deepEqual([trainable, (100 * trainable / base).toFixed(3)], [951_360, "0.427"]);
    assert.equal(trainableOf(BERT_BASE, pfeiffer()), 894_528);
    const classifying = bertOf(768, 12, 30_522, "BertForSequenceClassification");
    assert.equal(trainableOf(classifying, pfeiffer()), 894_528); // UniPELT's adapters
    assert.equal(trainableOf(ROBERTA_LARGE, pfeiffer({ reduction: 64 })), 811_392); // what AdaMix leaves
  },
);
printedShares("pfeiffer()", [["Pfeiffer, T5-base r 24, with norms", 951_360, "T5-base", "0.427"]]);
