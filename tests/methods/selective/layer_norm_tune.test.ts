/** layerNormTune(): the laws of methods, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { layerNormTune } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { changedOnly, elements, just } from "../../support/law_counts.ts";
import { trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, publishedCount } from "../../support/published_counts.ts";
import { t5Of } from "../../support/published_shapes.ts";

methodLaws("layerNormTune()", {
  method: just(layerNormTune()),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /(norm|ln_1|ln_2|ln_f)\.(weight|bias)$/)),
});

trains("layerNormTune()", () => layerNormTune());
misfits("layerNormTune()", [
  [
    () => layerNormTune({ norms: ["norm", "model.norm"] }),
    /^Expected norms that name a norm once but "norm" and "model\.norm" are both "model\.norm"$/,
  ],
]);
publishedCount("layerNormTune() has T5-base's 62 norms of 768", () => {
  const { base, trainable } = countsOf(t5Of(768, 12, 12, 3072, "1.0"), layerNormTune()).trained;
  assert.deepEqual([base, trainable], [222_903_552, 47_616]);
});
