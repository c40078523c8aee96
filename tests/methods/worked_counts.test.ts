/**
 * Worked counts that no other file asserts: sizes of whole models, sizes of one module, and the percentages that papers
 * print. Everything from published architectures' shapes; no weight is loaded.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  count,
  dispose,
  leaves,
  type Method,
  type ModelConfig,
  scope,
  weightLeaves,
} from "../../core/mod.ts";
import { configShapes } from "../../io/model_shapes.ts";
import {
  compacter,
  houlsby,
  lora,
  pfeiffer,
  phmAdapter,
  prefixTuning,
  unipelt,
  xlora,
} from "../../methods/mod.ts";

const bert = (hidden_size: number, num_hidden_layers: number, vocab_size: number): ModelConfig => ({
  model_type: "bert",
  architectures: ["BertForSequenceClassification"],
  ...{ hidden_size, num_hidden_layers, num_attention_heads: hidden_size / 64, vocab_size },
  ...{ intermediate_size: 4 * hidden_size, max_position_embeddings: 512, type_vocab_size: 2, num_labels: 2 },
});
const roberta = (hidden_size: number, num_hidden_layers: number): ModelConfig => ({
  ...bert(hidden_size, num_hidden_layers, 50_265),
  ...{ model_type: "roberta", architectures: ["RobertaForSequenceClassification"], pad_token_id: 1 },
  ...{ max_position_embeddings: 514, type_vocab_size: 1 },
});
const t5 = (d_model: number, num_layers: number, num_heads: number, d_ff: number): ModelConfig => ({
  model_type: "t5",
  ...{ d_model, num_layers, num_heads, d_ff, d_kv: 64, vocab_size: 32_128 },
});
const T5_BASE = t5(768, 12, 12, 3072);
const T0_3B: ModelConfig = {
  ...t5(2048, 24, 32, 5120),
  feed_forward_proj: "gated-gelu",
  tie_word_embeddings: false,
};
const LLAMA_7B: ModelConfig = {
  model_type: "llama",
  ...{ hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32 },
  ...{
    intermediate_size: 11_008,
    vocab_size: 32_000,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  },
};
const GPT2_MEDIUM: ModelConfig = {
  model_type: "gpt2",
  ...{ n_embd: 1024, n_layer: 24, n_head: 16, vocab_size: 50_257, n_positions: 1024 },
};

function withShapes<T>(config: ModelConfig, run: (model: ReturnType<typeof configShapes>) => T): T {
  const model = configShapes(config);
  try {
    return run(model);
  } finally {
    model.dispose();
  }
}

const sizeOf = (config: ModelConfig): number =>
  withShapes(config, ({ weights }) => weightLeaves(weights).reduce((n, [, leaf]) => n + leaf.size, 0));

/** A classifier of two labels over the pooled width; RoBERTa's has a layer before it, of the size of its body's pooler. */
const classifier = (width: number): number => 2 * width + 2;

/** Section 0: sizes without heads, tied embeddings once, poolers in. */
const BASES: readonly (readonly [name: string, config: ModelConfig, head: number, size: number])[] = [
  ["T5-base", T5_BASE, 0, 222_903_552],
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
  });
}

/** BART as transformers builds it: learned positions of 2 more than 1024, a norm after the embeddings, tied tables. */
function bartSize(d: number, layers: number, vocabulary: number): number {
  const [attention, norm] = [4 * (d * d + d), 2 * d];
  const feedForward = d * 4 * d + 4 * d + 4 * d * d + d;
  const encoder = attention + feedForward + 2 * norm;
  const decoder = encoder + attention + norm;
  return layers * (encoder + decoder) + vocabulary * d + 2 * (1026 * d + norm);
}
const BART_BASE = bartSize(768, 6, 50_265);
const BART_LARGE = bartSize(1024, 12, 50_265);

Deno.test("DistilBERT, BART-base and BART-large, which no architecture here runs, have their sizes by their layers", () => {
  // DistilBERT is BERT-base's embeddings without token types and six of its blocks, without a pooler.
  const blocks = sizeOf(bert(768, 6, 30_522)) - classifier(768) - (768 * 768 + 768) - 2 * 768;
  assert.equal(blocks, 66_362_880);
  assert.deepEqual([BART_BASE, BART_LARGE], [139_420_416, 406_291_456]);
});

/** What trains, of which size, and the figure that a paper or the article prints (integers: other files of counts). */
const SHARES: readonly (readonly [what: string, trainable: number, base: number, printed: string])[] = [
  ["Houlsby, T5-base r 24, with norms", 1_855_104, 222_903_552, "0.832"],
  ["Pfeiffer, T5-base r 24, with norms", 951_360, 222_903_552, "0.427"],
  ["parallel adapter, BART-large r 512", 25_202_688, BART_LARGE, "6.20"],
  ["MAM, BART-large l 30 r 512", 27_414_528, BART_LARGE, "6.75"],
  ["MAM, RoBERTa-base l 16 r 16", 599_232, 124_645_632, "0.48"],
  ["AdapterFusion, bert-base", 21_252_096, 109_482_240, "19.4"],
  ["AdaMix, RoBERTa-large r 16", 811_392, 355_359_744, "0.23"],
  ["PHM, T5-base n 12", 398_976, 222_903_552, "0.179"],
  ["Compacter, T5-base n 4", 161_728, 222_903_552, "0.073"],
  ["Compacter++, T5-base n 4", 104_704, 222_903_552, "0.047"],
  ["KronA, T5-base with norms", 158_208, 222_903_552, "0.071"],
  ["prompts, T5-base l 100", 76_800, 222_903_552, "0.034"],
  ["prefixes, GPT2-medium l 5", 245_760, 354_823_168, "0.069"],
  ["prefixes, BART-large l 200", 14_745_600, BART_LARGE, "3.63"],
  ["IPT's autoencoder, BART-base k 250", 78_452_218, BART_BASE, "56.27"],
  ["(IA)3, T0-3B", 540_672, 2_849_757_184, "0.019"],
  ["LoReFT, LLaMA-7B r 8", 2_097_408, 6_738_415_616, "0.031"],
  ["BitFit, bert-large-cased", 272_384, 333_579_264, "0.082"],
  ["BitFit, bert-base-cased", 102_912, 108_310_272, "0.095"],
  ["UniPELT, bert-base", 1_410_672, 109_482_240, "1.29"],
  ["UniPELT without LoRA, bert-base", 1_078_848, 109_482_240, "0.985"],
  ["ladder side-tuning, T5-base d/8", 3_878_712, 222_903_552, "1.74"],
];

Deno.test("percentages that papers print are those of the worked counts", () => {
  for (const [what, trainable, base, printed] of SHARES) {
    const digits = printed.split(".")[1]!.length;
    assert.equal((100 * trainable / base).toFixed(digits), printed, what);
  }
});

const trained = (config: ModelConfig, method: Method): number =>
  withShapes(
    config,
    (model) =>
      scope((): number =>
        count(model, { method, params: method.init({ model, key: 0 }) } as Adapter).trainable
      ),
  );

const ROWS = { length: 10, network: "none" } as const;
/** Sizes of one module, and of the parts that hybrids are made of. */
const PARTS:
  readonly (readonly [what: string, config: ModelConfig, method: Method, modules: number, of: number])[] = [
    ["a Houlsby adapter", T5_BASE, houlsby({ reduction: 32 }), 48, 37_656],
    ["a PHM adapter", T5_BASE, phmAdapter(), 48, 7_320],
    ["UniPELT's adapters", bert(768, 12, 30_522), pfeiffer(), 1, 894_528],
    ["UniPELT's LoRA", bert(768, 12, 30_522), lora({ rank: 8 }), 1, 294_912],
    ["UniPELT's prefixes", bert(768, 12, 30_522), prefixTuning(ROWS), 1, 184_320],
  ];

Deno.test("single modules and parts of hybrids have the worked sizes", () => {
  for (const [what, config, method, modules, of] of PARTS) {
    assert.equal(trained(config, method), modules * of, what);
  }
  // Compacter's rule stands once, beside 48 adapters.
  assert.equal(trained(T5_BASE, compacter()), 48 * 2_376 + 64);
  // Four gates of 769 a block, and 1,373,760 for the parts.
  assert.equal(trained(bert(768, 12, 30_522), unipelt({ prefix: ROWS })), 1_373_760 + 36_912);
});

Deno.test("xlora() has 8,259,552 numbers for 9 experts on LLaMA-7B's 224 layers", () =>
  withShapes(LLAMA_7B, (model) => {
    const one = adapt(model, lora({ rank: 2, targets: "all-linear" })) as unknown as Adapter;
    const experts = Object.fromEntries(Array.from({ length: 9 }, (_, k) => [`expert${k}`, one]));
    const method = xlora({ experts, routes: "layerwise" });
    const params = method.init({ model, key: 0 });
    const router = leaves(params["router"] as typeof params).map(([, t]) => t.size);
    assert.deepEqual(router.sort((a, b) => b - a), [8_257_536, 2_016]);
    assert.equal(count(model, { method, params }).trainable, 8_259_552);
    dispose([params["router"] as typeof params, one.params]);
  }));
