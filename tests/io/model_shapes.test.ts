/** Sizes of published models, counted from their configs alone. */
import assert from "node:assert/strict";
import { type ModelConfig, weightLeaves } from "../../core/mod.ts";
import { withShapes } from "../support/published_counts.ts";
import {
  bertOf,
  GPT2_MEDIUM,
  LLAMA_7B,
  type PublishedModel,
  robertaOf,
  SIZES,
  T0_3B,
  t5Of,
} from "../support/published_shapes.ts";

const sizeOf = (config: ModelConfig): number =>
  withShapes(config, ({ weights }) => weightLeaves(weights).reduce((n, [, leaf]) => n + leaf.size, 0));

/** A classifier of two labels over the pooled width; RoBERTa's has a layer before it, of the size of its body's pooler. */
const classifier = (width: number): number => 2 * width + 2;

const bert = (width: number, layers: number, vocabulary: number): ModelConfig =>
  bertOf(width, layers, vocabulary, "BertForSequenceClassification");
const roberta = (width: number, layers: number): ModelConfig =>
  robertaOf(width, layers, "RobertaForSequenceClassification");

/** Sizes without heads, tied embeddings once, poolers in. */
const BASES: readonly (readonly [name: PublishedModel, config: ModelConfig, head: number, size: number])[] = [
  ["T5-base", t5Of(768, 12, 12, 3072, "1.0"), 0, 222_903_552],
  ["bert-base-uncased", bert(768, 12, 30_522), classifier(768), 109_482_240],
  ["bert-base-cased", bert(768, 12, 28_996), classifier(768), 108_310_272],
  ["bert-large-cased", bert(1024, 24, 28_996), classifier(1024), 333_579_264],
  ["RoBERTa-base", roberta(768, 12), classifier(768), 124_645_632],
  ["RoBERTa-large", roberta(1024, 24), classifier(1024), 355_359_744],
  ["LLaMA-7B", LLAMA_7B, 0, 6_738_415_616],
  ["T0-3B", T0_3B, 0, 2_849_757_184],
  ["GPT2-medium", GPT2_MEDIUM, 0, 354_823_168],
];

for (const [name, config, head, size] of BASES) {
  Deno.test(`${name} has ${size.toLocaleString("en")} parameters`, () => {
    assert.equal(sizeOf(config) - head, size);
    assert.equal(SIZES[name], size);
  });
}

Deno.test("DistilBERT, BART-base and BART-large, which no architecture here runs, have their sizes by their layers", () => {
  // DistilBERT is BERT-base's embeddings without token types and six of its blocks, without a pooler.
  const blocks = sizeOf(bert(768, 6, 30_522)) - classifier(768) - (768 * 768 + 768) - 2 * 768;
  assert.equal(blocks, 66_362_880);
  assert.deepEqual([SIZES["BART-base"], SIZES["BART-large"]], [139_420_416, 406_291_456]);
});
