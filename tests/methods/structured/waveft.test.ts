/** waveft(): the laws of methods, golden cases of PEFT (tests/oracles/peft_updates.py) and what is refused. */
import { waveft } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, ENDS, laws } from "../../support/linear_laws.ts";

laws("waveft()", waveft({ ...ALL, frequencies: 20 }), each(ALL, () => 20));
laws(
  "waveft() of a longer wavelet, random",
  waveft({ frequencies: 30, wavelet: "db3", initialization: "normal" }),
  each({}, () => 30),
  { atInit: "other" },
);
laws(
  "waveft() on the embedding and the head",
  waveft({ ...ENDS, frequencies: 9, wavelet: "coif1" }),
  each(ENDS, () => 9),
);

goldenMethods({
  waveft: waveft({ frequencies: 13, scale: 12, targets: TARGETS }),
  waveft_db2: waveft({ frequencies: 60, wavelet: "db2", positionSeed: 5, targets: TARGETS }),
  waveft_db3: waveft({ frequencies: 60, wavelet: "db3", targets: TARGETS }),
  waveft_coif1: waveft({ frequencies: 60, wavelet: "coif1", targets: TARGETS }),
  waveft_none: waveft({ frequencies: 30, wavelet: "none", targets: TARGETS }),
  waveft_proportional: waveft({ frequencies: 23, allocation: "proportional", targets: TARGETS }),
});

badOptions("waveft()", [
  [
    () => waveft({ scale: NaN }),
    /^Expected waveft's option "scale" to be a number but found NaN$/,
  ],
]);
misfits("waveft()", [
  [() => waveft({ frequencies: 193 }), /193 frequencies of ".*q_proj" \[16, 12\]: it has 192/],
  [
    () => waveft({ allocation: "proportional", frequencyPattern: { q_proj: 3 } }),
    /frequencyPattern with a proportional allocation/,
  ],
]);
