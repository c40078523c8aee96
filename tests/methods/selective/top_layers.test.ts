/** topLayers(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { topLayers } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { changedOnly, elements, just } from "../../support/law_counts.ts";
import { trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";
import { selectiveGolden } from "../../support/selective_golden.ts";
import { tinyGpt2, tinyQwen3, tinyT5 } from "../../support/tiny_models.ts";

methodLaws("topLayers()", {
  method: just(topLayers()),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /\.1\.|(model\.norm|ln_f|lm_head)\./)),
});
methodLaws("topLayers() with the tied matrix", {
  method: just(topLayers({ blocks: 2, tied: "trained" })),
  models: [tinyGpt2, tinyQwen3],
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const tied = RegExp.escape(model.spec.heads[0]!.tiedTo!);
    return changedOnly(
      elements(model, new RegExp(`\\.[01]\\.|(model\\.norm|ln_f|lm_head)\\.|${tied}\\.weight`)),
    );
  },
});

/** An encoder and a decoder. A cache holds the decoder's tokens only, which the law of caches does not know. */
const T5 = { models: [tinyT5], looksAhead: true } as const;

methodLaws("topLayers() of T5's decoder", {
  ...T5,
  method: just(topLayers({ stack: "decoder" })),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /^decoder\.(block\.1|final_layer_norm)\./)),
});

selectiveGolden("top_bert", "bert_text", topLayers());
trains("topLayers()", () => topLayers(), () => topLayers({ tied: "trained" }));
badOptions("topLayers()", [
  [
    () => topLayers({ blocks: 0 }),
    /^Expected top-layers.s option "blocks" to be a positive integer .* but found 0$/,
  ],
]);
misfits("topLayers()", [
  [() => topLayers({ blocks: 3 }), /^Expected at most the 2 blocks of the decoder but found 3$/],
]);
misfits("topLayers() on T5", [
  [
    () => topLayers(),
    /^Cannot place top-layers on t5: it has encoder and decoder; say which with stack$/,
  ],
], { model: () => tinyT5(reference(), 0) });
publishedCount(
  "topLayers() has 7,087,872 parameters in BERT-base's last block, and 590,592 in the pooler",
  () => {
    const base = bertOf(768, 12, 28_996, "BertForSequenceClassification");
    assert.equal(trainableOf(base, topLayers({ above: "frozen" })), 7_087_872);
    assert.equal(trainableOf(base, topLayers()), 7_087_872 + 590_592 + 2 * 768 + 2);
  },
);
