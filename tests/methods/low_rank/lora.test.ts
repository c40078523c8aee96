/** LoRA obeys the laws of methods in each of its forms, has the counts of its paper, and refuses what cannot be. */
import assert from "node:assert/strict";
import {
  adapt,
  chooseTargets,
  compose,
  type Counts,
  dispose,
  leaves,
  type Method,
  type Model,
  sizesOf,
} from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { lora, type LoraOptions, modulesToSave } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { badOptions } from "../../support/bad_options.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { BERT_BASE, bertOf, llamaOf, robertaOf } from "../../support/published_shapes.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

/** Σ r (in + out), arXiv 2106.09685. */
function formula(options: LoraOptions): (model: Model) => Partial<Counts> {
  return (model) => {
    const added = chooseTargets(model.spec, options).map(sizesOf)
      .reduce((n, { inFeatures, outFeatures }) => n + (options.rank ?? 8) * (inFeatures + outFeatures), 0);
    return { added, trainable: added };
  };
}

const FORMS: Readonly<Record<string, LoraOptions>> = {
  "lora()": {},
  "lora() everywhere, rank-stabilised, with dropout": {
    rank: 3,
    alpha: 5,
    scaling: "rankStabilized",
    dropout: 0.3,
    targets: "all-linear",
  },
  "lora() on the embedding and the head": {
    rank: 2,
    targets: (place) => place.kind === "embedding" && place.role === "token" || place.kind === "head",
  },
};

for (const [title, options] of Object.entries(FORMS)) {
  methodLaws(title, {
    method: () => ({ method: lora(options) }),
    atInit: "base",
    merges: "and unmerges",
    counts: formula(options),
  });
}

methodLaws("lora() with a bias of its own and the base's biases", {
  method: () => ({ method: lora({ rank: 2, targets: "all-linear", bias: "all", branchBias: true }) }),
  atInit: "base",
  merges: "only", // a trained bias has replaced the base's
  counts: () => ({}),
  models: [(backend, key) => tinyGpt2(backend, key)], // the one with biases
});

Deno.test("a folder whose patterns overlap loads as PEFT reads it: the first one counts", () =>
  assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    try {
      const model = tinyLlama(reference(), 1);
      const adapter = adapt(model, lora({ rank: 4, rankPattern: { q_proj: 2 } }));
      await saveAdapter(`${folder}/a`, adapter, model);
      const path = `${folder}/a/adapter_config.json`;
      const config = JSON.parse(Deno.readTextFileSync(path));
      const overlapping = {
        "self_attn.q_proj": 2,
        ...config.rank_pattern,
        "layers.1.self_attn.q_proj": 3,
        "nope": 7,
      };
      Deno.writeTextFileSync(path, JSON.stringify({ ...config, rank_pattern: overlapping }));
      const loaded = await loadAdapter(`${folder}/a`, model);
      const shapes = (params: typeof loaded.params) => leaves(params).map(([path, t]) => [path, t.shape]);
      assert.deepEqual(shapes(loaded.params), shapes(adapter.params));
      dispose([loaded.params, adapter.params]);
      model.dispose();
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  }));

badOptions("lora()", [
  [
    () => lora({ rank: 0 }),
    /^Expected lora.s option "rank" to be a positive integer of at most 65536 but found 0$/,
  ],
  [
    () => lora({ dropout: 1 }),
    /^Expected lora.s option "dropout" to be a number from 0 up to 1 but found 1$/,
  ],
]);
publishedCount("lora() has the counts of its paper and of what uses it", () => {
  // GPT-3's queries and values are those of any model of width 12,288 and 96 layers.
  assert.equal(trainableOf(llamaOf(12_288, 96, 96, 49_152), lora({ rank: 8 })), 37_748_736);
  const large = robertaOf(1024, 24, "RobertaForSequenceClassification");
  assert.equal(trainableOf(large, lora({ rank: 8 })), 786_432);
  const head = modulesToSave({ modules: ["classifier"] });
  assert.equal(trainableOf(large, compose({ lora: lora({ rank: 8 }), head }) as Method), 1_838_082);
  // DeBERTa-v3-base's layers have the shapes of BERT-base's.
  assert.equal(trainableOf(BERT_BASE, lora({ rank: 8, targets: "all-linear" })), 1_327_104);
  // UniPELT's LoRA.
  assert.equal(
    trainableOf(bertOf(768, 12, 30_522, "BertForSequenceClassification"), lora({ rank: 8 })),
    294_912,
  );
});
