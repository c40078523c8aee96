/**
 * Numbers of parameters that papers report for adapters and hybrids, from published architectures'
 * shapes. No weight is loaded: tensors are shapes.
 */
import assert from "node:assert/strict";
import {
  type AttentionPlace,
  compose,
  count,
  type Counts,
  dispose,
  leaves,
  type Method,
  type Model,
  type ModelConfig,
  type Spec,
  type SublayerPlace,
  trainable,
} from "../../core/mod.ts";
import {
  adamix,
  adapterFusion,
  attentionFusion,
  compacter,
  compacterPlusPlus,
  houlsby,
  kronaB,
  kronaBres,
  layerNormTune,
  loreft,
  mam,
  parallelAdapter,
  pfeiffer,
  phmAdapter,
  prefixTuning,
  s4,
  unipelt,
} from "../../methods/mod.ts";
import { s4Sizes } from "../../methods/hybrids/s4_sizes.ts";
import { freshModel } from "../../models/mod.ts";
import { shapesOnly } from "../../ops/mod.ts";
import { T5_BASE } from "../support/published_shapes.ts";

const BERT = {
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
const ROBERTA = {
  ...BERT,
  model_type: "roberta",
  vocab_size: 50265,
  max_position_embeddings: 514,
  type_vocab_size: 1,
  pad_token_id: 1,
  architectures: ["RobertaModel"],
} as const;
const ROBERTA_LARGE = {
  ...ROBERTA,
  hidden_size: 1024,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  intermediate_size: 4096,
} as const;
const LLAMA_7B = {
  model_type: "llama",
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  intermediate_size: 11008,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
} as const;

/** Counts of a fresh adapter. */
function counted(config: ModelConfig, made: Method | ((model: Model) => Method)): Counts {
  const model = freshModel(config, { backend: shapesOnly(), key: 0 });
  const method = typeof made === "function" ? made(model) : made;
  const params = method.init({ model, key: 0 });
  const counts = count(model, { method, params });
  dispose(params);
  model.dispose();
  return counts;
}

const trained = (config: ModelConfig, method: Method): number => counted(config, method).trainable;
/** With the layer norms, as Houlsby and the Compacter family train. */
const normed = (adapters: Method): Method => compose({ adapters, norms: layerNormTune() }) as Method;

Deno.test("T5-base: Houlsby, Pfeiffer, PHM, Compacter and Compacter++ with norms have the counts of Compacter's table", () => {
  const of = (method: Method): readonly [number, string] => {
    const { trainable, base } = counted(T5_BASE, normed(method));
    assert.equal(base, 222_903_552);
    return [trainable, (100 * trainable / base).toFixed(3)];
  };
  assert.deepEqual(of(houlsby({ reduction: 32 })), [1_855_104, "0.832"]);
  assert.deepEqual(of(houlsby({ reduction: 32, after: ["feedForward"] })), [951_360, "0.427"]);
  assert.deepEqual(of(phmAdapter()), [398_976, "0.179"]);
  assert.deepEqual(of(compacter()), [161_728, "0.073"]);
  assert.deepEqual(of(compacterPlusPlus()), [104_704, "0.047"]);
});

Deno.test("houlsby() of BERT-large at r = 64, pfeiffer() and adamix() have the papers' counts", () => {
  const large = {
    ...BERT,
    hidden_size: 1024,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    intermediate_size: 4096,
  };
  assert.equal(trained(large, houlsby({ reduction: 16 })), 6_343_680);
  assert.equal(trained(BERT, pfeiffer()), 894_528);
  assert.equal(trained(BERT, adamix()), 2_223_360);
  assert.equal(trained(ROBERTA_LARGE, pfeiffer({ reduction: 64 })), 811_392); // what AdaMix leaves
});

/** The parts of BART-large: attentions of 16 heads, 64 wide, and a feed-forward part a block. */
const BART_LARGE: Spec = {
  architecture: "shapes",
  linears: [],
  attentions: (["encoder.self", "decoder.self", "decoder.cross"] as const).flatMap((kind) =>
    Array.from({ length: 12 }, (_, layer): AttentionPlace => ({
      kind: "attention",
      path: `${kind}.${layer}`,
      stack: kind.startsWith("e") ? "encoder" : "decoder",
      layer,
      role: kind.endsWith("cross") ? "cross" : "self",
      heads: 16,
      keyValueHeads: 16,
      headDim: 64,
    }))
  ),
  sublayers: (["encoder", "decoder"] as const).flatMap((stack) =>
    Array.from({ length: 12 }, (_, layer): SublayerPlace => ({
      kind: "sublayer",
      path: `${stack}.ffn.${layer}`,
      stack,
      layer,
      role: "feedForward",
      width: 1024,
    }))
  ),
  blocks: [],
  norms: [],
  embeddings: [],
  heads: [],
  stacks: [],
};

/** Numbers that training changes, of a spec alone. */
function trainedOf(spec: Spec, method: Method): number {
  const params = method.init({ model: { spec, backend: shapesOnly() } as Model, key: 0 });
  const n = leaves(trainable(params)).reduce((sum, [, t]) => sum + t.size, 0);
  dispose(params);
  return n;
}

Deno.test("parallelAdapter() and mam() of BART-large and RoBERTa-base have the counts of He et al.", () => {
  assert.equal(trainedOf(BART_LARGE, parallelAdapter()), 25_202_688);
  assert.equal(trainedOf(BART_LARGE, mam({ prefix: { network: "none" } })), 27_414_528);
  const small = mam({ prefix: { length: 16, network: "none" }, parallel: { reduction: 48, scale: 2 } });
  assert.equal(trained(ROBERTA, small), 599_232);
});

Deno.test("mam() trains a network for each kind of attention and leaves rows", () => {
  const method = mam();
  const model = { spec: BART_LARGE, backend: shapesOnly() } as Model;
  // e and W1 take the stack's width, which a spec without stacks has from its heads.
  const network = 30 * 1024 + 800 * 1024 + 800 + 12 * 2 * 1024 * 801;
  assert.equal(trainedOf(BART_LARGE, method), 3 * network + 25_202_688);
  const params = method.init({ model, key: 0 });
  const finalized = method.finalize!(params, BART_LARGE);
  assert.equal(leaves(finalized.params).reduce((n, [, t]) => n + t.size, 0), 27_414_528);
  dispose([params, finalized.params]);
});

Deno.test("unipelt() of BERT-base has 1.29 %, without LoRA and gates 0.985 %", () => {
  const [rows, base] = [{ length: 10, network: "none" } as const, 109_482_240]; // with its pooler
  const all = trained(BERT, unipelt({ prefix: rows }));
  assert.equal(all, 1_410_672);
  assert.equal((100 * all / base).toFixed(2), "1.29");
  const ap = trained(BERT, compose({ prefix: prefixTuning(rows), adapter: pfeiffer() }) as Method);
  assert.equal(ap, 1_078_848);
  assert.equal((100 * ap / base).toFixed(3), "0.985");
  assert.equal(trained(BERT, unipelt({ prefix: rows, lora: "none" })), ap + 12 * 2 * 769);
});

Deno.test("adapterFusion() of BERT-base trains 3 d² + 2 d a layer", () => {
  const fused = (model: Model): Method => {
    const method = pfeiffer();
    const adapters = Object.fromEntries(
      ["a", "b"].map((name, key) => [name, { method, params: method.init({ model, key }) }]),
    );
    return adapterFusion({ adapters });
  };
  assert.equal(counted(BERT, fused).trainable, 21_252_096);
  assert.equal(counted(BERT, fused).trainable / 12, 1_771_008);
});

Deno.test("loreft() of LLaMA-7B has 2,097,408 numbers tied and twice as many apart", () => {
  const { trainable, base } = counted(LLAMA_7B, loreft());
  assert.equal(trainable, 2_097_408);
  assert.equal((100 * trainable / base).toFixed(3), "0.031");
  assert.equal(trained(LLAMA_7B, loreft({ ends: "apart" })), 2 * 2_097_408);
});

Deno.test("kronaB() and kronaBres() have 1,536 numbers, a bias and a scale for each feed-forward part of width 768", () => {
  assert.equal(trained(BERT, kronaB({ bias: "none" })), 12 * 1536);
  assert.equal(trained(BERT, kronaB({ firstFactor: [32, 24] })), 12 * (1536 + 768));
  assert.equal(trained(BERT, kronaBres()), 12 * (1536 + 768 + 1));
});

Deno.test("attentionFusion() of BERT-base trains one vector, 0.0007 %", () => {
  const { trainable, base } = counted(BERT, attentionFusion());
  assert.equal(trainable, 768);
  assert.equal((100 * trainable / base).toFixed(4), "0.0007");
});

Deno.test("s4() spends at most its budget, the same share on each block, whatever the group", () => {
  for (const config of [ROBERTA, T5_BASE]) {
    const base = config === T5_BASE ? 222_903_552 : 124_645_632;
    const budget = Math.floor(0.005 * base);
    const n = trained(config, s4({ budget }));
    assert.ok(n <= budget && n > 0.9 * budget, `${n} of ${budget}`);
  }
});

Deno.test("s4() says the least and the largest budget, each of which it takes", () => {
  // d = 768. Group 4 needs most: q, k, v, output, down, two norms and up have biases, LoRA of rank 1 has 2 (768 + 768).
  const least = 12 * (7 * 768 + 3072 + 2 * 3072);
  const most = 12 * 2 * (768 + 769 * 1537) - 1; // groups 1 and 2, one number below two bottlenecks of 769
  const model = freshModel(BERT, { backend: shapesOnly(), key: 0 });
  const room = `from ${least} to ${most} for the 12 blocks of this model but found`;
  const refused = (budget: number, where: string): void => {
    const message = `Expected budget ${room} ${budget}: ${where}`;
    assert.throws(
      () => s4({ budget }).init({ model, key: 0 }),
      (error: Error) => error instanceof RangeError && error.message.startsWith(message),
      message,
    );
  };
  refused(1, "less is too little for prefix, bitfit, lora in encoder block 11");
  refused(least - 1, "less is too little for prefix, bitfit, lora in encoder block 11");
  refused(most + 1, "more makes a bottleneck of adapter, lora in encoder block 1 wider than the block");
  refused(1e12, "more makes a bottleneck of adapter, lora in encoder block 1 wider than the block");
  for (const budget of [least, most]) {
    const n = trained(BERT, s4({ budget }));
    assert.ok(n <= budget && n > 0.7 * budget, `${n} of ${budget}`);
  }
  const narrow: Parameters<typeof s4>[0] = {
    budget: 9,
    groups: [6, 6],
    parts: [["bitfit"], ["bitfit", "lora"]],
  };
  assert.throws(
    () => s4(narrow).init({ model, key: 0 }),
    /^RangeError: Expected budget at least 138240 for the 12 blocks of this model but found 9/,
  );
  assert.throws(() => s4({ budget: 9, groups: [12], parts: [[]] }), /group 1 has \[\]/);
  assert.throws(
    () => s4({ budget: 9, groups: [12], parts: [["lora", "lora"]] }),
    /group 1 has \[lora, lora\]/,
  );
  model.dispose();
});

Deno.test("s4Sizes() solves each part's size within a block's share", () => {
  const model = freshModel(BERT, { backend: shapesOnly(), key: 0 });
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
