/** fishMask(): the laws of methods, counts that papers print and training. */
import assert from "node:assert/strict";
import { weightLeaves } from "../../../core/mod.ts";
import { fishBudget, fishMask } from "../../../methods/mod.ts";
import { elements } from "../../support/law_counts.ts";
import { trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, withShapes } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";
import { everyNinth, everySeventh } from "../../support/sparse_masks.ts";

methodLaws("fishMask()", {
  method: (model) => ({ method: fishMask({ mask: everySeventh(model) }) }),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const { leaves, whole } = everySeventh(model);
    const masked = leaves.reduce((n, { indices }) => n + indices.length, 0);
    const n = weightLeaves(model.weights).find(([path]) => path === whole[0])![1].size;
    return { added: 0, trainable: masked + n, changed: masked + n, stored: 2 * masked + n };
  },
});

publishedCount(
  "fishBudget() of BERT-large with two labels is 1,667,906, of which 1,665,856 are masked",
  () =>
    withShapes(bertOf(1024, 24, 28_996, "BertForSequenceClassification"), (large) => {
      assert.equal(elements(large, /./), 333_581_314);
      assert.deepEqual(fishBudget(large, { ratio: 0.005 }), {
        total: 1_667_906,
        whole: 2_050,
        masked: 1_665_856,
      });
    }),
);
trains("fishMask()", (model) => fishMask({ mask: everyNinth(model) }));
