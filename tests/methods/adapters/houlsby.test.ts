/** houlsby(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { houlsby } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { badOptions, needsPlaces } from "../../support/bad_options.ts";
import { neutralAtZero } from "../../support/bottleneck_starts.ts";
import { assertNear, deviationOf, freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, bottleneck, just, LAYERS } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import {
  countsOf,
  normed,
  printedShares,
  publishedCount,
  trainableOf,
} from "../../support/published_counts.ts";
import { bertOf, T5_BASE, t5Of } from "../../support/published_shapes.ts";

methodLaws("houlsby()", {
  method: just(houlsby({ reduction: 4, deviation: 0.1 })),
  atInit: "other",
  merges: "no",
  counts: () => added(2 * LAYERS * bottleneck(3)),
});

lowersLoss("houlsby", houlsby({ reduction: 2 }));
neutralAtZero("houlsby()", houlsby({ reduction: 4, deviation: 0.5 }));
freshNumbers("houlsby()", async ({ numbers }) => {
  const cut = await numbers(houlsby({ reduction: 4 }), /weight/); // normal, cut at two deviations
  assert.ok(largestOf(cut) <= 2e-3 && largestOf(cut) > 1.9e-3);
  assertNear(deviationOf(cut), 0.88e-3);
  assert.equal(largestOf(await numbers(houlsby(), /bias/)), 0);
});
publishedCount(
  "houlsby() has the counts of Compacter's table on T5-base, with norms, and of its paper on BERT-large",
  () => {
    const { trainable, base } = countsOf(T5_BASE, normed(houlsby({ reduction: 32 }))).trained;
    assert.equal(base, 222_903_552);
    assert.deepEqual([trainable, (100 * trainable / base).toFixed(3)], [1_855_104, "0.832"]);
    assert.equal(trainableOf(bertOf(1024, 24, 30_522), houlsby({ reduction: 16 })), 6_343_680);
    assert.equal(trainableOf(t5Of(768, 12, 12, 3072, "1.0"), houlsby({ reduction: 32 })), 48 * 37_656);
  },
);
printedShares("houlsby()", [["Houlsby, T5-base r 24, with norms", 1_855_104, "T5-base", "0.832"]]);
badOptions("houlsby()", [
  [
    () => houlsby({ reduction: 0 }),
    /Expected houlsby's option "reduction" to be a number of at least 1 but found 0/,
  ],
]);
needsPlaces(
  "houlsby()",
  houlsby(),
  /Cannot place houlsby: the model offers no attention or feedForward part/,
);
adapterHubCase(
  "houlsby",
  ["bert_text", "roberta_tags", "t5", "llama"],
  houlsby({ reduction: 5, activation: "silu" }),
);
