/** deft(): the laws of methods, golden cases of PEFT (tests/oracles/peft_subspace.py) and what is refused. */
import { deft } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("deft()", {
  method: () => ({ method: deft({ ...ALL, rank: 3, alpha: 5, dropout: 0.2 }) }),
  atInit: "base",
  merges: "only",
  counts: each(ALL, (i, o) => 3 * (i + o)),
  unlikeDifferences: (path) => path.endsWith(".p"), // behind a corner
  runs: 2,
});

methodLaws("deft() of orthonormal columns, its rank over the outputs", {
  method: () => ({ method: deft({ rank: 14, projection: "qr" }) }),
  atInit: "base",
  merges: "only",
  counts: each({}, (i, o) => Math.min(14, o) * (i + o)),
  runs: 2,
  // Of as many columns as there are rows some may nearly depend on others, where Q leaps.
  unlikeDifferences: (path) => path.endsWith(".p"),
});

methodLaws("deft() as PaRa", {
  method: () => ({ method: deft({ rank: 2, projection: "qr", form: "para" }) }),
  atInit: "other",
  merges: "only",
  counts: each({}, (_, o) => 2 * o),
  runs: 2,
});

goldenMethods({
  deft: deft({ rank: 3, targets: TARGETS }),
  deft_scaled: deft({ rank: 5, alpha: 8, initialization: "normal", targets: TARGETS }),
  deft_qr: deft({ rank: 4, projection: "qr", targets: TARGETS }),
  para: deft({ rank: 4, projection: "qr", form: "para", targets: TARGETS }),
});

badOptions("deft()", [
  [
    () => deft({ rank: 0 }),
    /^Expected deft's option "rank" to be a positive integer of at most 65536 but found 0$/,
  ],
  [() => deft({ alpha: 0 }), /^Expected deft's option "alpha" to be a number other than 0 but found 0$/],
  [
    () => deft({ dropout: 1 }),
    /^Expected deft's option "dropout" to be a number from 0 up to 1 but found 1$/,
  ],
]);
misfits("deft()", [
  [
    () => deft({ targets: ["embed_tokens"] }),
    /^Cannot put deft on the embedding "model\.embed_tokens": leave it out of the targets$/,
  ],
]);
