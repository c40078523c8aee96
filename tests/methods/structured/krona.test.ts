/**
 * krona(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four bits
 * and what is refused.
 */
import assert from "node:assert/strict";
import { krona } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import {
  printedShares,
  publishedCount,
  T5_BASE_LAYERS,
  trainableIn,
} from "../../support/published_counts.ts";
import { SIZES } from "../../support/published_shapes.ts";

laws("krona()", krona({ scale: 2 }), () => ({}));
laws(
  "krona() with chosen factors, A zero, dropout",
  krona({ firstFactor: [2, 6], zero: "a", initialization: "normal", dropout: 0.3 }),
  each({}, (i, o) => 12 + i * o / 12),
);

goldenMethods({
  krona: krona({ scale: 1.5, firstFactor: [3, 2] }),
});

badOptions("krona()", [
  [
    () => krona({ scale: NaN }),
    /^Expected krona's option "scale" to be a number but found NaN$/,
  ],
]);
misfits("krona()", [
  [() => krona({ firstFactor: [5, 3] }), /q_proj" \[16, 12\] by a first factor \[5, 3\]/],
  [() => krona({ firstFactor: [5, 7] }), /".*q_proj" \[16, 12\] by a first factor \[5, 7\]/],
]);
onCodes({ "krona()": krona() });
publishedCount("krona() with T5-base's norms has 158,208 parameters, 0.071 %", () => {
  const n = trainableIn(T5_BASE_LAYERS, krona()) + 62 * 768;
  assert.equal(n, 158_208);
  assert.equal((100 * n / SIZES["T5-base"]).toFixed(3), "0.071");
});
printedShares("krona()", [["KronA, T5-base with norms", 158_208, "T5-base", "0.071"]]);
