/** osf(): the laws of methods, golden cases and what is refused. */
import { osf } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { just } from "../../support/law_counts.ts";
import { eachOfBlocks } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";

// n (m + k + 1), n = min(m, k) − ⌊min(m, k) / 4⌋
methodLaws("osf()", {
  method: just(osf({ preserved: 0.25, targets: "all-linear" })),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => {
    const { trainable } = eachOfBlocks(
      model,
      (m, k) => (Math.min(m, k) - Math.floor(Math.min(m, k) / 4)) * (m + k + 1),
    );
    return { trainable: trainable! };
  },
  unlikeDifferences: (path) => !path.endsWith(".s"), // gradients are projected, which differences are not; the golden case has them
  decomposes: true,
});

misfits("osf()", [
  [() => osf({ targets: ["wte"] }), /^Cannot put osf on the embedding "transformer\.wte"/],
  [
    () => osf({ preserved: 12 }),
    /^Cannot preserve 12 of the 12 singular values of ".*c_attn": choose 1 to 11, or a share that is so$/,
  ],
  [() => osf({ preserved: 0.01 }), /^Cannot preserve 0\.01 of the 12 singular values/],
  [
    () => osf({ preserved: 1.5 }),
    /^Expected osf's option "preserved" to be a share below 1 or a positive integer/,
  ],
], { model: () => tinyGpt2(reference(), 3) });
goldenMethods({ osf_triples: osf({ preserved: 5, targets: TARGETS }) }, {
  fresh: (backend) => backend !== "gpu", // no decomposition there
});
