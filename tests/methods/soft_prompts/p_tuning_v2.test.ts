/** pTuningV2(): the laws of methods and counts that papers print. */
import assert from "node:assert/strict";
import { keep, leaves, type Method, type Tree } from "../../../core/mod.ts";
import { pTuningV2 } from "../../../methods/mod.ts";
import { freshModel } from "../../../models/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { added, just } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";

methodLaws("pTuningV2()", {
  method: just(pTuningV2({ length: 3 }) as Method),
  atInit: "other",
  merges: "no",
  counts: ({ spec }) =>
    added(spec.attentions.reduce((n, place) => n + 2 * 3 * place.keyValueHeads * place.headDim, 0)),
});

methodLaws("pTuningV2() with a network", {
  method: just(pTuningV2({ length: 2, network: { hidden: 5 }, positions: "past" }) as Method),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});

Deno.test("pTuningV2() trains the classifier with its prefix, and no head of words", () =>
  assertNoLeak(() => {
    const small = {
      ...BERT,
      vocab_size: 20,
      hidden_size: 8,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 2,
    };
    const paths = (config: { readonly model_type: string }): readonly string[] => {
      const model = freshModel(config, { backend: reference(), key: 0 });
      const params = keep(pTuningV2({ length: 2 }).init({ model, key: 0 }));
      const found = leaves(params.tree as Tree).map(([path]) => path).filter((path) =>
        path.startsWith("head.")
      );
      params.dispose();
      model.dispose();
      return found;
    };
    const task = { architectures: ["BertForSequenceClassification"], num_labels: 2 };
    assert.deepEqual(paths({ ...small, ...task }), ["head.classifier.weight", "head.classifier.bias"]);
    const masked = { architectures: ["BertForMaskedLM"] };
    assert.deepEqual(paths({ ...small, ...masked }), []);
  }));

const BERT = {
  model_type: "bert",
  vocab_size: 28996,
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  max_position_embeddings: 512,
  type_vocab_size: 2,
};

publishedCount("pTuningV2() has its paper's sizes on RoBERTa-large's body", () => {
  const large = bertOf(1024, 24, 28_996);
  assert.equal(trainableOf(large, pTuningV2({ length: 8 }) as Method), 393_216);
  assert.equal(trainableOf(large, pTuningV2({ length: 128 }) as Method), 6_291_456);
});
