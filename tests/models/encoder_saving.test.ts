/**
 * Encoders saved and loaded again, under transformers' names; blocks recomputed in the backward pass; a side network.
 * (`tests/oracles/encoders.py` made the folders; that transformers and PEFT load what is saved here was tried by hand.)
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Batch,
  dispose,
  forward,
  leaves,
  lossAndGrad,
  type Model,
  read,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { ladderSideTuning, lora } from "../../methods/mod.ts";
import { freshModel, taskType } from "../../models/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";

const ROOT = `${GOLDEN}encoders`;
const backend = reference();
const batchOf = (name: string): Batch => JSON.parse(Deno.readTextFileSync(`${ROOT}/${name}/case.json`));

function namesIn(path: string): readonly string[] {
  const file = openSafetensors(path);
  file.close();
  return [...file.tensors.keys()].sort();
}

async function logitsOf(model: Model, batch: Batch): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  dispose(logits);
  return numbers;
}

Deno.test("saveModel() writes encoders under transformers' names, and loading gives the same logits", () =>
  assertNoLeak(async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const name of ["bert_text", "bert_tags", "roberta_text", "roberta_mask", "t5_gated", "mt5"]) {
        const model = await loadModel(`${ROOT}/${name}`, { backend });
        await saveModel(`${folder}/${name}`, model);
        assert.deepEqual(
          namesIn(`${folder}/${name}/model.safetensors`),
          namesIn(`${ROOT}/${name}/model.safetensors`),
        );
        const again = await loadModel(`${folder}/${name}`, { backend });
        assert.deepEqual(await logitsOf(again, batchOf(name)), await logitsOf(model, batchOf(name)), name);
        model.dispose();
        again.dispose();
      }
      // The old names of this folder become today's.
      const old = await loadModel(`${ROOT}/bert_mask`, { backend });
      await saveModel(`${folder}/old`, old);
      const names = namesIn(`${folder}/old/model.safetensors`);
      assert.ok(names.includes("cls.predictions.bias") && names.includes("bert.embeddings.LayerNorm.weight"));
      assert.ok(!names.some((name) => /gamma|seq_relationship|decoder|pooler/.test(name)));
      old.dispose();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }));

Deno.test("taskType() says what PEFT calls a model's labels", () =>
  assertNoLeak(async () => {
    const expected = {
      bert_text: "SEQ_CLS",
      bert_score: "SEQ_CLS",
      roberta_tags: "TOKEN_CLS",
      bert_mask: null,
      bert_bare: null,
      t5: "SEQ_2_SEQ_LM",
    };
    for (const [name, type] of Object.entries(expected)) {
      const model = await loadModel(`${ROOT}/${name}`, { backend });
      assert.equal(taskType(model), type, name);
      model.dispose();
    }
    const gpt2 = await loadModel(`${GOLDEN}models/gpt2`, { backend });
    assert.equal(taskType(gpt2), "CAUSAL_LM");
    gpt2.dispose();
  }));

/** Both ways of the backward pass give the same numbers. */
async function assertRecomputed(model: Model, adapter: Adapter, batch: Batch): Promise<void> {
  const [kept, recomputed] = [
    await lossAndGrad(model, adapter, batch, { train: true, key: 3 }),
    await lossAndGrad(model, adapter, batch, { train: true, key: 3, checkpointBlocks: true }),
  ];
  assert.equal(recomputed.loss, kept.loss);
  const found = new Map(leaves(recomputed.grads));
  for (const [path, grad] of leaves(kept.grads)) {
    assertClose(await read(found.get(path)!), await read(grad), 1e-6, path); // sums in another order
  }
  dispose([kept.grads, recomputed.grads]);
}

Deno.test("recomputed blocks of encoders give the same gradients", () =>
  assertNoLeak(async () => {
    for (const name of ["bert_text", "roberta_mask", "t5", "t5_gated"]) {
      const model = await loadModel(`${ROOT}/${name}`, { backend });
      const tables = name.startsWith("t5") ? ["relative_attention_bias", "shared"] : ["word_embeddings"];
      for (const targets of ["all-linear", tables] as const) {
        const adapter = adapt(model, lora({ rank: 2, dropout: 0.2, targets })) as Adapter;
        await assertRecomputed(model, adapter, batchOf(name));
        dispose(adapter.params);
      }
      model.dispose();
    }
  }));

Deno.test("a side network climbs beside an encoder's blocks", () =>
  assertNoLeak(async () => {
    const model = freshModel({
      model_type: "bert",
      architectures: ["BertForTokenClassification"],
      vocab_size: 20,
      hidden_size: 16,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      intermediate_size: 24,
      max_position_embeddings: 12,
    }, { backend, key: 1 });
    const adapter = adapt(model, ladderSideTuning({ reduction: 2 })) as Adapter;
    await assertRecomputed(model, adapter, { inputIds: [[3, 4, 5]], labels: [[0, 1, -100]] });
    dispose(adapter.params);
    model.dispose();
  }));
