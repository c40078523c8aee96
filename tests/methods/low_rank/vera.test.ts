/**
 * vera(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four bits
 * and what is refused.
 */
import assert from "node:assert/strict";
import { chooseTargets, sizesOf } from "../../../core/mod.ts";
import { vera } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import {
  publishedCount,
  ROBERTA_BASE_LAYERS,
  ROBERTA_LARGE_LAYERS,
  trainableIn,
} from "../../support/published_counts.ts";

laws("vera()", vera({ ...ALL, rank: 3, dropout: 0.2 }), (model) => {
  const { trainable } = each(ALL, (_, o) => 3 + o)(model) as { trainable: number };
  const sizes = chooseTargets(model.spec, ALL).map(sizesOf);
  const shared = 3 *
    (Math.max(...sizes.map((s) => s.inFeatures)) + Math.max(...sizes.map((s) => s.outFeatures)));
  return { trainable, stored: trainable + shared };
});
laws("vera() regenerated", vera({ rank: 2, projections: "regenerated" }), (model) => {
  const { trainable } = each({}, (_, o) => 2 + o)(model) as { trainable: number };
  return { trainable, stored: trainable };
});

goldenMethods({
  vera: vera({ rank: 5, projectionSeed: 99, targets: TARGETS }), // the file's A and B, not those of the seed
  "vera regenerated": vera({ rank: 5, projectionSeed: 3, projections: "regenerated", targets: TARGETS }),
});

badOptions("vera()", [
  [() => vera({ initialD: NaN }), /^Expected vera.s option "initialD" to be a number but found NaN$/],
  [
    () => vera({ projectionSeed: 0.5 }),
    /^Expected vera.s option "projectionSeed" to be a non-negative integer but found 0.5$/,
  ],
]);
misfits("vera()", [[
  () => vera({ rank: 1.5 }),
  /^Expected vera.s option "rank" to be a positive integer.* but found 1.5$/,
]]);
onCodes({ "vera()": vera({ rank: 3 }) });
publishedCount("vera() has 43,008 parameters on RoBERTa-base and 61,440 on RoBERTa-large", () => {
  assert.equal(trainableIn(ROBERTA_BASE_LAYERS, vera({ rank: 1024 })), 43_008);
  assert.equal(trainableIn(ROBERTA_LARGE_LAYERS, vera({ rank: 256 })), 61_440);
});
