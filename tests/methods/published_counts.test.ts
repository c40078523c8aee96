/** More counts that papers print, exact, from the published architectures' shapes alone. */
import assert from "node:assert/strict";
import {
  type Adapter,
  compose,
  count,
  type Counts,
  type Method,
  type ModelConfig,
  scope,
  type Synchronous,
} from "../../core/mod.ts";
import { configShapes } from "../../io/model_shapes.ts";
import { adalora, dora, ia3, lora, modulesToSave, prefixTuning, promptTuning } from "../../methods/mod.ts";
import { assertNoLeak } from "../support/assert.ts";

/** Counts while training, and of what remains. */
function counted(config: object, method: Method): { readonly trained: Counts; readonly kept: Counts } {
  const model = configShapes(config as ModelConfig);
  try {
    return scope((): Synchronous<{ readonly trained: Counts; readonly kept: Counts }> => {
      const trained: Adapter = { method, params: method.init({ model, key: 0 }) };
      const kept = method.finalize?.(trained.params, model.spec) ?? trained;
      return { trained: count(model, trained), kept: count(model, kept) };
    });
  } finally {
    model.dispose();
  }
}

const trainable = (config: object, method: Method): number => counted(config, method).trained.trainable;

const bert = (hidden_size: number, num_hidden_layers: number, num_attention_heads: number) => ({
  model_type: "bert",
  architectures: ["BertModel"],
  ...{ hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: 4 * hidden_size },
  ...{ vocab_size: 30_522, max_position_embeddings: 512, type_vocab_size: 2 },
});
const ROBERTA_LARGE = {
  ...bert(1024, 24, 16),
  model_type: "roberta",
  architectures: ["RobertaForSequenceClassification"],
  ...{ vocab_size: 50_265, max_position_embeddings: 514, type_vocab_size: 1, num_labels: 2, pad_token_id: 1 },
};
const llama = (hidden_size: number, num_hidden_layers: number, heads: number, intermediate_size: number) => ({
  model_type: "llama",
  ...{
    hidden_size,
    num_hidden_layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    intermediate_size,
  },
  ...{ vocab_size: 32_000, max_position_embeddings: 2048, tie_word_embeddings: false, hidden_act: "silu" },
});
const LLAMA_7B = llama(4096, 32, 32, 11_008);
const t5 = (d_model: number, num_layers: number, num_heads: number, d_ff: number) => ({
  model_type: "t5",
  ...{ d_model, num_layers, num_heads, d_ff, d_kv: 64, vocab_size: 32_128 },
  ...{ feed_forward_proj: "gated-gelu", tie_word_embeddings: false },
});

Deno.test("lora() has the counts of its paper and of what uses it", () =>
  assertNoLeak(() => {
    // GPT-3's queries and values are those of any model of width 12,288 and 96 layers.
    assert.equal(trainable(llama(12_288, 96, 96, 49_152), lora({ rank: 8 })), 37_748_736);
    assert.equal(trainable(ROBERTA_LARGE, lora({ rank: 8 })), 786_432);
    const head = modulesToSave({ modules: ["classifier"] });
    assert.equal(trainable(ROBERTA_LARGE, head), 1_051_650);
    assert.equal(trainable(ROBERTA_LARGE, compose({ lora: lora({ rank: 8 }), head }) as Method), 1_838_082);
    // DeBERTa-v3-base's layers have the shapes of BERT-base's.
    const all = { targets: "all-linear" } as const;
    assert.equal(trainable(bert(768, 12, 12), lora({ rank: 8, ...all })), 1_327_104);
    assert.equal(trainable(bert(768, 12, 12), adalora({ rank: 12, ...all })), 1_991_520);
  }));

Deno.test("dora() has LoRA's counts and a magnitude an output on LLaMA-7B", () =>
  assertNoLeak(() => {
    const options = { rank: 32, targets: ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"] };
    const [low, weighted] = [lora(options), dora(options)].map((m) => counted(LLAMA_7B, m as Method).trained);
    assert.equal(low!.base, 6_738_415_616);
    assert.equal(low!.trainable, 56_098_816);
    assert.equal(weighted!.trainable, 56_975_360);
    const shares = [low!, weighted!].map(({ base, trainable: n }) => (100 * n / (base + n)).toFixed(3));
    assert.deepEqual(shares, ["0.826", "0.838"]);
  }));

Deno.test("prefixTuning() has the counts of GPT2-medium and BART-large, training and kept", () =>
  assertNoLeak(() => {
    const gpt2 = {
      model_type: "gpt2",
      n_embd: 1024,
      n_layer: 24,
      n_head: 16,
      vocab_size: 50_257,
      n_positions: 1024,
    };
    const five = counted(gpt2, prefixTuning({ length: 5, network: { hidden: 512 } }));
    assert.equal(five.trained.base, 354_823_168);
    assert.equal(five.trained.trainable, 25_744_896);
    assert.equal(five.kept.trainable, 245_760);
    // BART-large's attentions, of three kinds in 12 layers each, are those of a T5 of its sizes.
    assert.equal(counted(t5(1024, 12, 16, 4096), prefixTuning({ length: 200 })).kept.trainable, 14_745_600);
  }));

Deno.test("ia3() has 540,672 numbers on T0-3B, promptTuning() 409,600 on T5-XXL", () =>
  assertNoLeak(() => {
    const t0 = counted(t5(2048, 24, 32, 5120), ia3()).trained;
    assert.deepEqual([t0.base, t0.trainable], [2_849_757_184, 540_672]);
    assert.equal(
      trainable(t5(4096, 24, 64, 10_240), promptTuning({ length: 100 }) as unknown as Method),
      409_600,
    );
  }));
