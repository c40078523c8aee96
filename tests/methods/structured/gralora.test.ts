/** gralora(): the laws of methods, golden cases of PEFT (tests/oracles/peft_updates.py) and what is refused. */
import { gralora } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { each, laws } from "../../support/linear_laws.ts";

laws("gralora()", gralora({ rank: 4, dropout: 0.2 }), each({}, (i, o) => 4 * (i + o)));
laws(
  "gralora() hybrid",
  gralora({ rank: 4, blocks: 4, hybridRank: 3, alpha: 5 }),
  each({}, (i, o) => 7 * (i + o)),
);

goldenMethods({
  gralora: gralora({ rank: 6, alpha: 5, targets: TARGETS }),
  gralora_hybrid: gralora({ rank: 4, blocks: 4, hybridRank: 3, alpha: 9, targets: TARGETS }),
});

misfits("gralora()", [
  [() => gralora({ rank: 5 }), /rank to be a multiple of the 2 blocks but found 5/],
  [
    () => gralora({ rank: 5, blocks: 5 }),
    /5 by 5 blocks on ".*q_proj" \[16, 12\]: sizes must be multiples of 5/,
  ],
  [
    () => gralora({ hybridRank: -1 }),
    /option "hybridRank" to be a non-negative integer of at most 65536 but found -1/,
  ],
]);
