/** shira(): the laws of methods, golden cases of PEFT (tests/oracles/peft_updates.py) and what is refused. */
import { shira } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods, goldenStarts } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, ENDS, laws } from "../../support/linear_laws.ts";

laws("shira()", shira({ ...ALL, rank: 2 }), (model) => {
  const { trainable } = each(ALL, (i, o) => 2 * (i + o))(model);
  return { trainable, stored: 3 * trainable, changed: trainable };
});
laws(
  "shira() random, on the embedding and the head",
  shira({ ...ENDS, rank: 1, positionSeed: 4, initialization: "normal" }),
  each(ENDS, (i, o) => i + o),
  { atInit: "other" },
);

const CASES = {
  shira: shira({ rank: 2, positionSeed: 5, targets: TARGETS }),
  shira_unseeded: shira({ rank: 3, targets: TARGETS }),
};
goldenMethods(CASES);
goldenStarts(CASES);

badOptions("shira()", [
  [() => shira({ positionSeed: 0.5 }), /option "positionSeed" to be a non-negative integer but found 0/],
]);
misfits("shira()", [
  [() => shira({ rank: 7 }), /rank 7 on ".*q_proj" \[16, 12\]: 196 positions of 192 elements/],
]);
