/**
 * fourierft(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four
 * bits and what is refused.
 */
import assert from "node:assert/strict";
import { fourierft } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { publishedCount, ROBERTA_BASE_LAYERS, trainableIn } from "../../support/published_counts.ts";

laws("fourierft()", fourierft({ frequencies: 20, scale: 10 }), each({}, () => 20), { atInit: "other" });
laws(
  "fourierft() from zeros",
  fourierft({ ...ALL, frequencies: 3, scale: 10, initialization: "zeros" }),
  each(ALL, () => 3),
);

goldenMethods({
  fourierft: fourierft({ frequencies: 13, scale: 40, targets: TARGETS }),
  fourierft_many: fourierft({ frequencies: 200, positionSeed: 5, scale: 9, targets: TARGETS }),
});

badOptions("fourierft()", [
  [() => fourierft({ scale: Infinity }), /option "scale" to be a number but found Inf/],
  [() => fourierft({ positionSeed: 1.5 }), /option "positionSeed" to be a non-negative integer but found 1/],
]);
misfits("fourierft()", [
  [() => fourierft(), /1000 frequencies of .* it has 192 elements/],
  [() => fourierft({ frequencies: 193 }), /193 frequencies of ".*q_proj" \[16, 12\]: it has 192/],
  [
    () => fourierft({ frequencies: 4, frequencyPattern: { nope: 2 } }),
    /The frequencyPattern "nope" matches none/,
  ],
]);
onCodes({ "fourierft()": fourierft({ frequencies: 9, scale: 9 }) });
publishedCount(
  "fourierft() has its paper's 0.024 M: 1000 numbers for each of 24 matrices of RoBERTa-base",
  () => assert.equal(trainableIn(ROBERTA_BASE_LAYERS, fourierft()), 24_000),
);
