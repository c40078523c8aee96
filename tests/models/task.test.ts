/** Heads by task, and models with fresh weights. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  compose,
  count,
  dispose,
  forward,
  graft,
  leaves,
  lossAndGrad,
  type ModelConfig,
  read,
  type Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import { adapt } from "../../core/combinators/compose.ts";
import { loadModel } from "../../io/load_model.ts";
import { lora, modulesToSave } from "../../methods/mod.ts";
import { classNames, freshModel, headModules, type Task } from "../../models/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";

const CASES = `${GOLDEN}encoders`;
const backend = reference();

const numbers = async (t: Tensor): Promise<readonly number[]> => {
  const values = [...await read(t)];
  dispose(t);
  return values;
};

Deno.test("loadModel() with a task gives a fresh head over the checkpoint's tower", () =>
  assertNoLeak(async () => {
    const tasks: readonly (readonly [from: string, task: Task, shape: readonly number[]])[] = [
      ["bert_mask", { kind: "classify", names: ["a", "b", "c", "d"] }, [2, 4]],
      ["bert_bare", { kind: "tag", names: ["O", "B-X"] }, [2, 3, 2]],
      ["bert_text", { kind: "score" }, [2, 1]],
      ["bert_text", { kind: "embed" }, [2, 3, 20]],
      ["bert_tags", { kind: "mask" }, [2, 3, 37]],
      ["roberta_mask", { kind: "flag", names: ["a", "b"] }, [2, 2]],
      ["roberta_text", { kind: "tag", names: ["a", "b", "c"] }, [2, 3, 3]],
      ["xlm_roberta_text", { kind: "classify", names: ["a", "b"] }, [2, 2]],
    ];
    for (const [from, task, shape] of tasks) {
      const model = await loadModel(`${CASES}/${from}`, { backend, task });
      const { logits } = forward(model, { inputIds: [[5, 9, 3], [7, 2, 6]] });
      assert.deepEqual(logits.shape, shape, `${from} to ${task.kind}`);
      const [first] = await numbers(logits);
      assert.ok(Number.isFinite(first));
      model.dispose();
    }
  }));

Deno.test("loadModel() with the task that a checkpoint was saved with keeps its head", () =>
  assertNoLeak(async () => {
    const batch: Batch = { inputIds: [[5, 9, 3]] };
    const saved = await loadModel(`${CASES}/bert_text`, { backend });
    const again = await loadModel(`${CASES}/bert_text`, {
      backend,
      task: { kind: "classify", names: ["x", "y", "z"] },
    });
    assert.deepEqual(
      await numbers(forward(again, batch).logits),
      await numbers(forward(saved, batch).logits),
    );
    assert.deepEqual(classNames(saved), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    assert.deepEqual(classNames(again), ["x", "y", "z"]);
    saved.dispose();
    again.dispose();
  }));

Deno.test("the head's fresh numbers are a function of the key", () =>
  assertNoLeak(async () => {
    const logits = async (key: number) => {
      const task = { kind: "classify", names: ["a", "b"] } as const;
      const model = await loadModel(`${CASES}/bert_bare`, { backend, task, key });
      const found = await numbers(forward(model, { inputIds: [[5, 9, 3]] }).logits);
      model.dispose();
      return found;
    };
    assert.deepEqual(await logits(1), await logits(1));
    assert.notDeepEqual(await logits(1), await logits(2));
  }));

Deno.test("modulesToSave() trains a classifier beside a LoRA", () =>
  assertNoLeak(async () => {
    for (const name of ["bert_text", "roberta_text", "bert_tags"]) {
      const model = await loadModel(`${CASES}/${name}`, { backend });
      const modules = headModules(model);
      assert.deepEqual(modules, ["classifier"]);
      const method = compose({ lora: lora({ rank: 2 }), head: modulesToSave({ modules }) });
      const adapter = adapt(model, method) as Adapter;
      const batch: Batch = JSON.parse(await Deno.readTextFile(`${CASES}/${name}/case.json`));
      const { grads } = await lossAndGrad(model, adapter, batch);
      const heads = leaves(grads).filter(([path]) => path.startsWith("head."));
      assert.equal(heads.length, name === "roberta_text" ? 4 : 2);
      for (const [path, t] of heads) {
        assert.ok((await read(t)).some((x) => x !== 0), `${path} has a gradient`);
      }
      assert.equal(
        count(model, adapter).changed,
        3 * 2 * 400 + heads.reduce((n, [, t]) => n + t.size, 0),
      );
      dispose([grads, adapter.params]);
      model.dispose();
    }
  }));

const TINY = { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 12 };
const CONFIGS: readonly ModelConfig[] = [
  {
    model_type: "bert",
    vocab_size: 11,
    max_position_embeddings: 9,
    ...TINY,
    architectures: ["BertForMaskedLM"],
  },
  { model_type: "bert", vocab_size: 11, max_position_embeddings: 9, ...TINY },
  {
    model_type: "roberta",
    vocab_size: 11,
    max_position_embeddings: 12,
    ...TINY,
    architectures: ["RobertaForSequenceClassification"],
  },
  { model_type: "t5", vocab_size: 11, d_model: 8, d_kv: 3, d_ff: 10, num_layers: 2, num_heads: 2 },
  { model_type: "mt5", vocab_size: 11, d_model: 8, d_kv: 3, d_ff: 10, num_layers: 2, num_heads: 2 },
];

Deno.test("freshModel() makes encoders that run, with every weight that their places name", () =>
  assertNoLeak(async () => {
    for (const config of CONFIGS) {
      const model = freshModel(config, { backend, key: 3 });
      const batch = { inputIds: [[5, 9, 3]], decoderInputIds: [[0, 4]] };
      const adapter = adapt(model, lora({ rank: 1 })) as Adapter;
      const { logits } = forward(graft(model, adapter), batch);
      assert.ok((await read(logits)).every(Number.isFinite), config.model_type);
      assert.ok(weightLeaves(model.weights).length > 20);
      dispose([logits, adapter.params]);
      model.dispose();
    }
  }));

Deno.test("encoders refuse what they cannot do, naming it", () =>
  assertNoLeak(async () => {
    const load = (change: Readonly<Record<string, unknown>>) =>
      freshModel({ ...CONFIGS[0]!, ...change }, { backend, key: 0 });
    assert.throws(() => load({ is_decoder: true }), /is_decoder/);
    assert.throws(() => load({ position_embedding_type: "relative_key" }), /relative_key/);
    assert.throws(() => load({ architectures: ["BertForQuestionAnswering"] }), /BertForQuestionAnswering/);
    assert.throws(() => load({ hidden_act: "mish" }), /hidden_act "mish"/);
    assert.throws(
      () => freshModel({ ...CONFIGS[3]!, architectures: ["T5EncoderModel"] }, { backend, key: 0 }),
      /T5Enc/,
    );
    const bare = load({ architectures: ["BertModel"] });
    assert.throws(() => bare.architecture.labels(bare), /no head/);
    const long = { inputIds: [Array<number>(10).fill(2)] };
    assert.throws(() => forward(bare, long), /10 tokens but the model's context holds 9/);
    assert.throws(
      () => forward(bare, { inputIds: [[2]], tokenTypeIds: [[2]] }),
      /token types from 0 to 1 but found 2/,
    );
    bare.dispose();
    const text = await loadModel(`${CASES}/bert_text`, { backend });
    const adapter = adapt(text, lora({ rank: 1 })) as Adapter;
    const lossOf = (labels: Batch["labels"]) =>
      lossAndGrad(text, adapter, { inputIds: [[3], [4]], labels: labels! });
    await assert.rejects(lossOf([[1], [2]]), /problem_type/);
    await assert.rejects(lossOf([0, 3]), /labels from 0 to 2, or −100, but found 3/);
    await assert.rejects(lossOf([0]), /Expected 2 labels.* but found 1/);
    dispose(adapter.params);
    text.dispose();
    const t5 = freshModel(CONFIGS[3]!, { backend, key: 0 });
    assert.throws(() => forward(t5, { inputIds: [[2]] }), /decoderInputIds or labels/);
    assert.throws(() => forward(t5, { inputIds: [[2]], decoderInputIds: [[0], [0]] }), /found 2 and 1/);
    t5.dispose();
    await assert.rejects(
      loadModel(`${GOLDEN}models/gpt2`, { backend, task: { kind: "score" } }),
      /Cannot load a gpt2 with the task "score"/,
    );
  }));
