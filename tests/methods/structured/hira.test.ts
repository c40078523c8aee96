/** hira(): the laws of methods, golden cases of PEFT (tests/oracles/peft_updates.py) and what is refused. */
import { hira } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, ENDS, laws } from "../../support/linear_laws.ts";

laws("hira()", hira({ ...ALL, rank: 3, dropout: 0.2 }), each(ALL, (i, o) => 3 * (i + o)), { merges: "only" });
laws("hira() gaussian", hira({ rank: 2, initialization: "gaussian" }), each({}, (i, o) => 2 * (i + o)), {
  merges: "only",
});
laws("hira() on the embedding and the head", hira({ ...ENDS, rank: 2 }), each(ENDS, (i, o) => 2 * (i + o)), {
  merges: "only",
});

goldenMethods({
  hira: hira({ rank: 3, targets: TARGETS }),
});

misfits("hira()", [
  [
    () => hira({ dropout: 1 }),
    /^Expected hira.s option "dropout" to be a number from 0 up to 1 but found 1$/,
  ],
  [() => hira({ rankPattern: { nope: 2 } }), /rankPattern "nope" matches none/],
]);
