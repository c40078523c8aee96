/** s4Sizes() solves for the parts of a block. */
import assert from "node:assert/strict";
import { s4Sizes } from "../../../methods/hybrids/s4_sizes.ts";
import { freshModel } from "../../../models/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";

const BERT_BASE = {
  model_type: "bert",
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  vocab_size: 30522,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  architectures: ["BertModel"],
} as const;

Deno.test("s4Sizes() solves each part's size within a block's share", () => {
  const model = freshModel(BERT_BASE, { backend: shapesOnly(), key: 0 });
  // Half of 100,000 each: 32 (2 · 768 + 1) + 768 = 49,952, and 16 · 2 · (768 + 768) = 49,152.
  assert.deepEqual(s4Sizes(model.spec, "encoder", 0, ["adapter", "lora"], 100_000), {
    adapter: 32,
    lora: 16,
  });
  // 8,448 biases; in 39,300 are 25 rows of 2 · 768 = 38,400, and 25 (2 · 768 + 1) + 768 = 39,193.
  assert.deepEqual(
    s4Sizes(model.spec, "encoder", 3, ["adapter", "prefix", "bitfit"], 8448 + 2 * 39_300),
    { adapter: 25, prefix: 25 },
  );
  model.dispose();
});
