/** phmAdapter(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { phmAdapter } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { misfits } from "../../support/bad_options.ts";
import { neutralAtZero } from "../../support/bottleneck_starts.ts";
import { assertNear, deviationOf, freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, just, LAYERS, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import {
  countsOf,
  normed,
  printedShares,
  publishedCount,
  trainableOf,
} from "../../support/published_counts.ts";
import { T5_BASE, t5Of } from "../../support/published_shapes.ts";

methodLaws("phmAdapter()", {
  method: just(phmAdapter({ reduction: 4, dimension: 3 })),
  atInit: "other",
  merges: "no",
  // in · out / n + out + n³ for each of two layers.
  counts: () => added(2 * LAYERS * (2 * (WIDTH * 3 / 3 + 27) + 3 + WIDTH)),
});

lowersLoss("phmAdapter", phmAdapter({ reduction: 2, dimension: 2 }));
neutralAtZero("phmAdapter()", phmAdapter({ reduction: 3, dimension: 2 }));
freshNumbers("phmAdapter()", async ({ numbers }) => {
  assertNear(deviationOf(await numbers(phmAdapter({ reduction: 4 }), /rule/)), 0.01);
  // Glorot with gain √2: ±√2 · √(6 / (rows + columns)) of a slice; 12 terms of 8 by 2.
  assertNear(largestOf(await numbers(phmAdapter({ reduction: 4 }), /blocks/)), Math.sqrt(2 * 6 / (8 + 2)));
});
publishedCount("phmAdapter() has the count of Compacter's table on T5-base, with norms", () => {
  const { trainable, base } = countsOf(T5_BASE, normed(phmAdapter())).trained;
  assert.equal(base, 222_903_552);
  assert.deepEqual([trainable, (100 * trainable / base).toFixed(3)], [398_976, "0.179"]);
  assert.equal(trainableOf(t5Of(768, 12, 12, 3072, "1.0"), phmAdapter()), 48 * 7_320);
});
printedShares("phmAdapter()", [["PHM, T5-base n 12", 398_976, "T5-base", "0.179"]]);
misfits("phmAdapter()", [
  [
    () => phmAdapter({ reduction: 4, dimension: 4 }),
    /Cannot split a layer of 12 to 3 features in 4 parts: choose a dimension and a reduction/,
  ],
]);
adapterHubCase("phm", ["bert_tags"], phmAdapter({ reduction: 5, dimension: 2, activation: "gelu" }));
