/**
 * miss(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four bits
 * and what is refused.
 */
import assert from "node:assert/strict";
import { miss } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { ONE_LAYER, publishedCount, trainableIn } from "../../support/published_counts.ts";

laws("miss()", miss({ ...ALL, rank: 5, dropout: 0.2 }), each(ALL, (_, o) => 5 * o));
laws("miss() mini", miss({ rank: 4, form: "mini", miniRank: 2 }), each({}, () => 8));
laws("miss() bat", miss({ rank: 4, form: "bat" }), each({}, (_, o) => o * 4), { merges: "only" });

goldenMethods({
  miss: miss({ rank: 5, targets: TARGETS }),
  miss_mini: miss({ rank: 4, form: "mini", miniRank: 6, targets: TARGETS }),
  miss_bat: miss({ rank: 4, form: "bat", targets: TARGETS }),
});

misfits("miss()", [
  [() => miss({ rank: 13 }), /MiSS of rank 13 on .*\[16, 12\]: the rank exceeds/],
  [() => miss({ rank: 13 }), /rank 13 on ".*q_proj" \[16, 12\]: the rank exceeds the input/],
  [() => miss({ rank: 5, form: "bat" }), /multiples of the rank/],
  [() => miss({ rank: 2, form: "mini", miniRank: 3 }), /miniRank 3 does not divide/],
]);
onCodes({ "miss()": miss({ rank: 4 }), "miss() bat": miss({ rank: 4, form: "bat" }) });
publishedCount(
  "miss() has the numbers of its formula",
  () => assert.equal(trainableIn(ONE_LAYER, miss({ rank: 64 })), 64 * 768),
);
