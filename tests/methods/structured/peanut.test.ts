/** peanut(): the laws of methods, golden cases of PEFT (tests/oracles/peft_subspace.py) and what is refused. */
import { peanut } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("peanut()", {
  method: () => ({ method: peanut({ rank: 3, scale: 0.5 }) }),
  atInit: "base",
  merges: "only",
  counts: each({}, (_, o) => 2 * 3 * o),
  unlikeDifferences: (path) => path.endsWith(".a"), // behind a corner
  runs: 2,
});

methodLaws("peanut() with two layers a side", {
  method: () => ({ method: peanut({ ...ALL, rank: 3, depth: 2, activation: "silu" }) }),
  atInit: "base",
  merges: "only",
  counts: each(ALL, (_, o) => 2 * 3 * o + 2 * 2 * 3 * 3),
  runs: 2,
});

goldenMethods({
  peanut: peanut({ rank: 5, scale: 0.7, targets: TARGETS }),
  peanut_deep: peanut({ rank: 4, depth: 2, activation: "silu", targets: TARGETS }),
});

badOptions("peanut()", [
  [
    () => peanut({ rank: 1.5 }),
    /^Expected peanut's option "rank" to be a positive integer of at most 65536 but found 1\.5$/,
  ],
  [
    () => peanut({ depth: -1 }),
    /^Expected peanut's option "depth" to be a non-negative integer of at most 64 but found -1$/,
  ],
  [
    () => peanut({ scale: NaN }),
    /^Expected peanut's option "scale" to be a number but found NaN$/,
  ],
]);
misfits("peanut()", [
  [
    () => peanut({ targets: ["embed_tokens"] }),
    /^Cannot put peanut on the embedding "model\.embed_tokens": leave it out of the targets$/,
  ],
]);
