/** glora(): the laws of methods, golden cases and what is refused. */
import { glora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { just } from "../../support/law_counts.ts";
import { eachOfBlocks } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";

// 2 r (m + n); with a bias r (n + 1) + 2 more
methodLaws("glora()", {
  method: just(glora({ rank: 2, targets: "all-linear" })),
  atInit: "base",
  merges: "only",
  counts: (model) => ({
    ...eachOfBlocks(model, (m, n, bias) => 2 * 2 * (m + n) + (bias ? 2 * (n + 1) + 2 : 0)),
    changed: eachOfBlocks(model, (m, n, bias) => m * n + (bias ? m : 0)).trainable!,
  }),
});
methodLaws("glora() of vectors and constants", {
  method: just(
    glora({ a: "vector", b: "constant", c: "vector", d: "vector", e: "none", targets: "all-linear" }),
  ),
  atInit: "base",
  merges: "only",
  counts: (model) => eachOfBlocks(model, (m, n, bias) => m + 1 + (bias ? n + m : 0)),
});

misfits("glora()", [
  [() => glora({ targets: ["wte"] }), /^Cannot put glora on the embedding "transformer\.wte"/],
  [() => glora({ rank: 0.5 }), /^Expected glora.s option "rank" to be a positive integer.* but found 0\.5$/],
  [
    () => glora({ a: "none", b: "none", c: "none", d: "none", e: "none" }),
    /^Expected one of a, b, c, d and e to be something but found none$/,
  ],
], { model: () => tinyGpt2(reference(), 3) });
goldenMethods({ glora_matrices: glora({ rank: 3, targets: TARGETS }) });
