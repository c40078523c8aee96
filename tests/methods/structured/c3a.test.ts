/** c3a(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, a base in four bits and what is refused. */
import { c3a } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";

laws("c3a()", c3a({ block: 2 }), each({}, (i, o) => i * o / 2), { atInit: "other" });
laws(
  "c3a() from zeros, blocks by pattern",
  c3a({ ...ALL, block: 1, blockPattern: { "q_proj|c_attn": 4 }, initialization: "zeros" }),
  () => ({}),
);

goldenMethods({
  c3a: c3a({ block: 4, blockPattern: { q_proj: 12 }, targets: TARGETS }), // 24 x 24, 12 x 24, 24 x 28
});

misfits("c3a()", [
  [() => c3a({ block: 5 }), /circulant blocks on ".*q_proj" \[16, 12\]: 5 divides not both sizes/],
  [() => c3a({ block: 4, blockPattern: { nope: 2 } }), /The blockPattern "nope" matches none/],
  [
    () => c3a({ blockPattern: { q_proj: 0 } }),
    /option "blockPattern" to be an object, each value a positive integer of at most 1048576/,
  ],
]);
onCodes({ "c3a()": c3a({ block: 4 }) });
