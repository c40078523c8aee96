/** Soft prompts equal PEFT and torch (tests/oracles/soft_prompts.py), and count as the papers do. Their laws stand apart. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  attention,
  type Batch,
  compose,
  count,
  type Counts,
  dispose,
  forward,
  type Gate,
  gated,
  generateIds,
  graft,
  into,
  keep,
  key,
  leaves,
  loss,
  lossAndGrad,
  mapTree,
  type Method,
  type Model,
  read,
  rootOf,
  scaled,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  type ContextPromptParams,
  contextPromptTuning,
  type ContextPromptTuningOptions,
  ipt,
  iptAutoencoder,
  type IptAutoencoderParams,
  llamaAdapter,
  lora,
  multitaskPromptTuning,
  type MultitaskPromptTuningOptions,
  newTask,
  type PromptStart,
  promptTuning,
  pTuning,
  pTuningV2,
  rankSources,
  sourceWeights,
  spot,
  withSlots,
} from "../../methods/mod.ts";
import { bestSource, iptGradients } from "../../recipes/soft_prompts.ts";
import { barePass, freshModel } from "../../models/mod.ts";
import { full, multiply, shapesOnly, zeros } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { loadModel } from "../../io/load_model.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";
import {
  assertGolden,
  assertGradients,
  goldenBase,
  goldenBatch,
  goldenParams,
} from "../support/golden_method.ts";
import { assertSteps } from "../support/golden_training.ts";
import { T5_BASE } from "../support/published_shapes.ts";
import { noised } from "../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const D = 12;
const SLOT = 10;

async function golden(name: string, test: (model: Model, params: Tree) => Promise<void>): Promise<void> {
  await assertNoLeak(async () => {
    const model = await goldenBase(reference());
    const params = goldenParams(name, model.backend);
    await test(model, params.tree);
    params.dispose();
    model.dispose();
  });
}

const PEFT: readonly (readonly [name: string, method: Method])[] = [
  ["prompt", promptTuning({ length: 5 }) as Method],
  ["p_tuning_mlp", pTuning({ length: 5, encoder: { kind: "mlp", hidden: [7, 7] } }) as Method],
  ["p_tuning_lstm", pTuning({ length: 5, encoder: { kind: "lstm", hidden: 7, inner: 14 } }) as Method],
];
for (const [name, method] of PEFT) {
  Deno.test(`${name} equals PEFT's logits, loss, gradients, rows and continuations`, () =>
    golden(name, async (model, params) => {
      await assertGolden(name, model, { method, params });
      const expected = goldenNumbers(`methods/${name}.safetensors`);
      const { inputIds, attentionMask } = goldenBatch();
      const labels = inputIds.map((row, b) => row.map((id, i) => attentionMask![b]![i] === 1 ? id : -100));
      const { loss, grads } = await lossAndGrad(model, { method, params }, {
        inputIds,
        attentionMask: attentionMask!,
        labels,
      });
      assertClose([loss], expected.get("loss_all")!, 1e-5, "loss with the first token");
      for (const [path, g] of leaves(grads)) {
        assertClose(
          await read(g),
          expected.get(`all.${path}`)!,
          1e-4,
          `gradient of ${path} with the first token`,
        );
      }
      dispose(grads);
      const finalized: Adapter = method.finalize?.(params, model.spec) ?? { method, params };
      assertClose(await read(finalized.params.rows as Tensor), expected.get("rows")!, 1e-5, "rows");
      // Together they are padded on the left; alone they are not.
      const prompts = [[5, 9, 31, 2], [7]];
      const wanted = prompts.map((_, i) => [...expected.get(`generated.${i}`)!]);
      const tuned = graft(model, finalized);
      assert.deepEqual(await generateIds(tuned, prompts, { maxNewTokens: 8, eos: [] }), wanted);
      assert.deepEqual(await generateIds(tuned, prompts[1]!, { maxNewTokens: 8, eos: [] }), wanted[1]);
      if (finalized.params !== params) dispose(finalized.params);
    }));
}

Deno.test("llamaAdapter() equals PEFT's layer with the paper's gates: logits, loss and gradients", () =>
  golden("llama_adapter", async (model, params) => {
    const method = llamaAdapter({ length: 4, layers: 2 });
    const shapes = (tree: Tree) => leaves(tree).map(([path, t]) => `${path} [${t.shape.join(", ")}]`).sort();
    const fresh = adapt(model, method).params;
    assert.deepEqual(shapes(fresh), shapes(params));
    dispose(fresh);
    await assertGolden("llama_adapter", model, { method, params });
    const short = tinyLlama(model.backend, 1);
    assert.throws(
      () => adapt(short, llamaAdapter({ layers: 3 })),
      /^RangeError: Cannot put llamaAdapter in 3 blocks: the model has 2 that attend to their own text$/,
    );
    short.dispose();
  }));

Deno.test("pTuning() at slots equals the paper's template in torch, padded on the left", () =>
  golden("p_tuning_slots", async (model, params) => {
    const name = "p_tuning_slots";
    const expected = goldenNumbers(`methods/${name}.safetensors`);
    const rows = (part: string): readonly (readonly number[])[] => {
      const all = [...expected.get(part)!];
      return [all.slice(0, all.length / 2), all.slice(all.length / 2)];
    };
    const mask = rows("mask");
    const batch: Batch = {
      inputIds: rows("ids"),
      attentionMask: mask,
      labels: rows("labels"),
      positionIds: mask.map((row) =>
        row.map((_, i) => Math.max(0, row.slice(0, i + 1).reduce((a, b) => a + b) - 1))
      ),
    };
    const template = (a: readonly number[], b: number) => [2, a, [8], 2, [b], 1];
    assert.deepEqual(batch.inputIds[1]!.slice(2), withSlots(template([1, 0], 4), 36));
    const adapter: Adapter = {
      method: pTuning({ length: 5, where: { token: 36 }, encoder: { kind: "lstm" } }) as Method,
      params,
    };
    const { logits } = forward(graft(model, adapter), batch);
    const real = (all: ArrayLike<number>) => Array.from(all).slice(2 * 37); // the first row's padding sees nothing
    assertClose(real(await read(logits)), real(expected.get("logits")!), 1e-5, "logits");
    logits.storage.free();
    const { loss, grads } = await lossAndGrad(model, adapter, batch);
    assertClose([loss], expected.get("loss")!, 1e-5, "loss");
    await assertGradients(name, grads, 1e-4);
    dispose(grads);
  }));

/** With and without a cache, alone and padded on the left among others. */
async function continues(
  model: Model,
  method: Method,
  prompts: readonly (readonly number[])[],
): Promise<void> {
  const params = keep(scope((): Synchronous<Tree> => noised(method.init({ model, key: 1 }), key(2))));
  const tuned = graft(model, { method, params: params.tree });
  const options = { maxNewTokens: 4, eos: [] };
  const together = await generateIds(tuned, prompts, options);
  for (const [i, prompt] of prompts.entries()) {
    assert.deepEqual(together[i], await generateIds(tuned, prompt, options), `${method.name}, prompt ${i}`);
    const ids = [...prompt];
    for (let n = 0; n < 4; n++) {
      // A token of the slot's id that was generated is no slot: without a cache it cannot be told apart.
      const { logits } = forward(tuned, { inputIds: [ids] });
      const scores = await read(logits);
      logits.storage.free();
      const last = scores.subarray(scores.length - 11);
      const best = last.reduce((best, x, id) => x > last[best]! ? id : best, 0);
      assert.equal(together[i]![n], best, `${method.name}, prompt ${i}, token ${n} without a cache`);
      if (best === SLOT) break;
      ids.push(best);
    }
  }
  params.dispose();
}

Deno.test("generateIds() under prompts before and inside the text agrees with whole passes", async () => {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await assertNoLeak(async () => {
      const model = tiny(reference(), 11);
      await continues(model, promptTuning({ length: 3 }) as Method, [[3, 1, 4, 1], [5], [9, 2, 6]]);
      const texts = [[3, 1], [5], [2, 6, 4]].map((text) => withSlots([1, text, 2], SLOT));
      await continues(
        model,
        pTuning({ length: 3, where: { token: SLOT }, encoder: { kind: "mlp" } }) as Method,
        texts,
      );
      const both = compose({
        front: promptTuning({ length: 2 }) as Method,
        slots: promptTuning({ length: 3, where: { token: SLOT } }) as Method,
        lora: lora({ rank: 2, initialization: "none" }) as Method,
      }) as Method;
      await continues(model, both, texts);
      model.dispose();
    });
  }
});

Deno.test("a row at a slot stands for a token: rows equal to embeddings change nothing", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const start: PromptStart = { from: "tokens", rows: [[4], [7]] };
    const method = promptTuning({ length: 2, where: { token: SLOT }, start });
    const params = keep(method.init({ model, key: 0 }));
    const logits = async (model: Model, ids: readonly number[]) => {
      const out = forward(model, { inputIds: [ids] }).logits;
      const numbers = await read(out);
      out.storage.free();
      return numbers;
    };
    assert.deepEqual(
      await logits(graft(model, { method, params: params.tree }), withSlots([[1], 1, [2, 3], 1], SLOT)),
      await logits(model, [1, 4, 2, 3, 7]),
    );
    params.dispose();
    model.dispose();
  }));

Deno.test("slots stand in the texts of BERT and of T5's encoder too", async () => {
  for (const base of ["bert_tags", "t5"]) {
    await assertNoLeak(async () => {
      const model = await loadModel(`${GOLDEN}encoders/${base}`, { backend: reference() });
      const start: PromptStart = { from: "tokens", rows: [[4], [7]] };
      const method = promptTuning({ length: 2, where: { token: 36 }, start });
      const params = keep(method.init({ model, key: 0 }));
      const logits = async (model: Model, ids: readonly number[]) => {
        const t5 = base === "t5" && { decoderInputIds: [[0, 5, 6], [0, 5, 6]] };
        const batch = {
          inputIds: [[...ids, 0], [...ids, 9]],
          attentionMask: [[...ids.map(() => 1), 0], [...ids.map(() => 1), 1]],
        };
        const out = forward(model, { ...batch, ...t5 }).logits;
        const numbers = await read(out);
        out.storage.free();
        return numbers;
      };
      assert.deepEqual(
        await logits(graft(model, { method, params: params.tree }), withSlots([[1], 1, [2, 3], 1], 36)),
        await logits(model, [1, 4, 2, 3, 7]),
      );
      params.dispose();
      model.dispose();
    });
  }
});

Deno.test("promptTuning() starts from a range, from the vocabulary, from labels or from a text", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const table = await read(
      (model.weights as unknown as Tree & { model: { embed_tokens: { weight: Tensor } } }).model.embed_tokens
        .weight,
    );
    const row = (id: number): readonly number[] => [...table.subarray(id * D, (id + 1) * D)];
    const started = async (start: PromptStart, length = 6): Promise<readonly (readonly number[])[]> => {
      const params = promptTuning({ length, start }).init({ model, key: 5 });
      const numbers = await read(params.rows);
      params.rows.storage.free();
      return Array.from({ length }, (_, i) => [...numbers.subarray(i * D, (i + 1) * D)]);
    };
    const known = Array.from({ length: 11 }, (_, id) => row(id).join());
    const uniform = (await started({ from: "uniform", low: 0, high: 0.5 }, 40)).flat();
    assert.ok(uniform.every((x) => x >= 0 && x < 0.5) && Math.max(...uniform) > 0.45);
    const wide = (await started({ from: "uniform" }, 40)).flat();
    assert.ok(wide.every((x) => x >= -0.5 && x < 0.5) && Math.min(...wide) < -0.45);
    const drawn = await started({ from: "vocabulary", tokens: 4 }, 30);
    assert.deepEqual(new Set(drawn.map((r) => known.indexOf(r.join()))), new Set([0, 1, 2, 3]));
    const labels = await started({ from: "tokens", rows: [[1, 2], [9]] });
    assertClose(labels[0]!, row(1).map((x, i) => (x + row(2)[i]!) / 2), 1e-6);
    assert.deepEqual(labels[1], row(9));
    assert.ok(labels.slice(2).every((r) => known.includes(r.join())));
    const text = await started({ from: "tokens", rows: [[3], [1], [4]], rest: "repeated" }, 5);
    assert.deepEqual(text, [3, 1, 4, 3, 1].map(row));
    await assert.rejects(
      started({ from: "tokens", rows: [[11]] }),
      /token ids from 0 to 10 but a prompt starts from 11/,
    );
    model.dispose();
  }));

Deno.test("prompts refuse missing slots, a full context and gates", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 3);
    const params = keep({ rows: tensor(new Float32Array(3 * D), { backend: model.backend, shape: [3, D] }) });
    const run = (method: Method, inputIds: readonly (readonly number[])[]) =>
      forward(graft(model, { method, params: params.tree }), { inputIds });
    const slots = promptTuning({ length: 3, where: { token: SLOT } }) as Method;
    assert.throws(
      () => run(slots, [[SLOT, SLOT, SLOT, 1], [SLOT, 1, 2, 3]]),
      /Expected 3 slots .* in row 1 but found 1/,
    );
    const twice = (compose({ a: slots, b: slots }) as unknown as Method).edits(
      { a: params.tree, b: params.tree } as Tree,
      model.spec,
    );
    const both: Method = { ...slots, edits: () => twice };
    assert.throws(() => run(both, [[SLOT, SLOT, SLOT, 1]]), /Two prompts .* token 10/);
    const front = promptTuning({ length: 3 }) as Method;
    assert.throws(
      () => run(front, [new Array(30).fill(1)]),
      /33 tokens but the model's context holds 32: shorten it, or what stands before it at "model", which takes 3 of them/,
    );
    assert.throws(() => promptTuning({ length: 0 }), /length/);
    assert.throws(() => promptTuning({ start: { from: "tokens", rows: [[]] } }), /at least one id/);
    assert.throws(() => pTuning({ encoder: { kind: "mlp", hidden: [0] } }), /positive integers but found 0/);
    params.dispose();
    model.dispose();
  }));

/** A prompt of golden rows. */
const promptOf = (rows: Tensor): Adapter => ({
  method: promptTuning({ length: rows.shape[0]! }) as Method,
  params: { rows },
});

Deno.test("spot() and rankSources() equal the paper's similarities and weighted mean", () =>
  assertNoLeak(async () => {
    const model = await goldenBase(reference());
    const expected = goldenNumbers("methods/spot.safetensors");
    const held = goldenParams("spot", model.backend, "");
    const at = held.tree as { readonly target: Tensor; readonly source: Readonly<Record<string, Tensor>> };
    const sources = Object.fromEntries(Object.entries(at.source).map(([name, t]) => [name, promptOf(t)]));
    for (const kind of ["means", "pairs"] as const) {
      const ranked = await rankSources(promptOf(at.target), sources, kind);
      assert.deepEqual(ranked.map(({ name }) => name), ["b", "a", "c"]);
      for (const { name, similarity } of ranked) {
        assertClose([similarity], expected.get(`${kind}.${name}`)!, 1e-5, `${kind} of ${name}`);
      }
    }
    const ranked = await rankSources(promptOf(at.target), sources);
    const mixed = spot({ sources, weights: sourceWeights(ranked, 2) }).init({ model, key: 0 });
    assertClose(await read(mixed.rows), expected.get("mixed")!, 1e-5, "mixed");
    const whole = spot({ sources: { b: sources.b! } }).init({ model, key: 0 });
    assert.deepEqual(await read(whole.rows), expected.get("source.b"));
    assert.notEqual(whole.rows.storage, at.source.b!.storage); // training must leave the source as it is
    assert.deepEqual(Object.keys(sourceWeights(ranked, 3)), ["b", "a"]); // "c" is unlike the target
    const scores: Readonly<Record<string, number>> = { b: 1, a: 3, c: 9 };
    const { best, tried } = await bestSource(ranked, 2, (name) => Promise.resolve(scores[name]!));
    assert.deepEqual([best.name, tried.length], ["a", 2]);
    assert.throws(() => spot({ sources }), /weights for 3 source prompts/);
    assert.throws(() => sourceWeights([{ name: "c", similarity: -1 }], 1), /none has a similarity above 0/);
    assert.throws(() => spot({ sources: { b: sources.b! }, where: { token: 3 } }), /stands at "front"/);
    assert.throws(
      () => spot({ sources: { l: { method: lora() as Method, params: {} } } }),
      /finalize it first/,
    );
    dispose([mixed, whole]);
    held.dispose();
    model.dispose();
  }));

Deno.test("iptAutoencoder() and iptGradients() equal a transcription of the paper's stage 2", () =>
  golden("ipt_autoencoder", async (model, params) => {
    const name = "ipt_autoencoder";
    const expected = goldenNumbers(`methods/${name}.safetensors`);
    const frozen = goldenParams(name, model.backend, "frozen.");
    const prompts = Object.fromEntries(
      Object.entries(frozen.tree).map(([task, rows]) => [task, promptOf(rows as Tensor)]),
    );
    const all = { ...params, frozen: { prompts: frozen.tree } } as unknown as IptAutoencoderParams;
    const tasks = ["one", "two"].map((task, i) => {
      const row = <T>(rows: readonly T[]): readonly T[] => [rows[i]!];
      const { inputIds, attentionMask, labels } = goldenBatch();
      return {
        method: iptAutoencoder({ prompts, task, intrinsic: 3, hidden: 7 }),
        batch: {
          inputIds: row(inputIds),
          attentionMask: row(attentionMask!),
          labels: row(labels as readonly (readonly number[])[]),
        },
      };
    });
    for (const [i, { method, batch }] of tasks.entries()) {
      const { loss, grads } = await lossAndGrad(model, { method, params: all }, batch, {
        labelSmoothing: 0.1,
      });
      assertClose([loss], [expected.get("losses")![i]!], 1e-5, `loss of task ${i}`);
      dispose(grads);
    }
    const { value, gradients } = scope((): Synchronous<{ value: Tensor; gradients: Tree }> =>
      iptGradients(model, all, tasks)
    );
    assertClose(await read(value), expected.get("loss")!, 1e-5, "loss");
    await assertGradients(name, gradients, 1e-4);
    dispose([value, gradients]);
    frozen.dispose();
  }));

Deno.test("ipt() equals a transcription of the paper's stage 3", () =>
  golden("ipt", async (model, params) => {
    const coder = goldenParams("ipt_autoencoder", model.backend);
    const source = goldenParams("ipt_autoencoder", model.backend, "frozen.");
    const prompts = { one: promptOf(source.tree.one as Tensor) };
    const autoencoder: Adapter = {
      method: iptAutoencoder({ prompts, task: "one", intrinsic: 3, hidden: 7 }) as Method,
      params: coder.tree,
    };
    const method = ipt({ autoencoder }) as Method;
    const all = { ...params, frozen: { decoder: coder.tree.decoder! } } as Tree;
    await assertGolden("ipt", model, { method, params: all });
    const finalized = method.finalize!(all, model.spec);
    assertClose(
      await read(finalized.params.rows as Tensor),
      goldenNumbers("methods/ipt.safetensors").get("rows")!,
      1e-5,
      "rows",
    );
    dispose(finalized.params);
    source.dispose();
    coder.dispose();
  }));

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

/** Counts on a model of shapes alone. */
function countOf(config: { readonly model_type: string }, method: Method): Counts {
  const backend = shapesOnly();
  const model = freshModel(config, { backend, key: 0 });
  const params = keep(method.init({ model, key: 0 }));
  const found = count(model, { method, params: params.tree });
  params.dispose();
  model.dispose();
  return found;
}

Deno.test("prompts have the papers' sizes on T5-base and BERT-base", () => {
  const prompt = countOf(T5_BASE, promptTuning({ length: 100 }) as Method);
  assert.equal(prompt.trainable, 76_800);
  assert.equal(Math.round(prompt.trainable / prompt.base * 1e5), 34); // 0.034 %
  assert.equal(countOf(BERT, pTuning() as Method).trainable, 8_278_272);
  assert.equal(countOf(BERT, promptTuning({ length: 9 }) as Method).trainable, 6_912); // kept
  const large = {
    ...BERT,
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
  };
  assert.equal(countOf(large, pTuningV2({ length: 8 }) as Method).trainable, 393_216); // RoBERTa-large's body
  assert.equal(countOf(large, pTuningV2({ length: 128 }) as Method).trainable, 6_291_456);
  // The autoencoder for prompts of 100 rows of 768, BART-base's width, and what a task trains afterwards.
  const rows = zeros([100, 768], shapesOnly());
  for (const [intrinsic, all] of [[250, 78_452_218], [5, 59_447_813]] as const) {
    const method = iptAutoencoder({ prompts: { t: promptOf(rows) }, task: "t", intrinsic }) as Method;
    assert.equal(countOf(BERT, method).trainable, all);
  }
  rows.storage.free();
});

const CONTEXT: ContextPromptTuningOptions = {
  tokens: [0, 5, 9, 31, 2, 7, 11, 12, 30, 8, 4],
  types: [0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 8],
  epsilon: 3,
  templateEpsilon: 5,
  decay: 0.7,
};

Deno.test("contextPromptTuning() equals PEFT's logits, loss over the context too, gradients and bounded steps", () =>
  golden("context_prompt", async (model, params) => {
    const adapter: Adapter = { method: contextPromptTuning(CONTEXT), params };
    await assertGolden("context_prompt", model, adapter);
    await assertSteps("context_prompt", model, adapter, 7 / 11); // four tokens are labels or none
    // The text alone is judged where the context is not wanted.
    const alone = async (context: "scored" | "ignored"): Promise<number> => {
      const value = scope(() => loss(graft(model, adapter), goldenBatch(), { context }));
      const [number] = await read(value);
      value.storage.free();
      return number!;
    };
    const rows: Adapter = {
      method: promptTuning({ length: 11 }) as unknown as Method,
      params: {
        rows: (adapter.method.finalize!(params, model.spec).params as ContextPromptParams).frozen.tokens,
      },
    };
    const plain = await lossAndGrad(model, rows, goldenBatch());
    assertClose([await alone("ignored")], [plain.loss], 1e-6);
    assert.ok(Math.abs(await alone("scored") - plain.loss) > 1e-3);
    dispose([plain.grads, rows.params]);
  }));

Deno.test("contextPromptTuning() refuses what cannot be", () => {
  const refused = (options: ContextPromptTuningOptions, message: RegExp): void =>
    assert.throws(() => contextPromptTuning(options), message);
  refused({ tokens: [] }, /^RangeError: Expected a context of at least one token but found none$/);
  refused(
    { tokens: [1, 2], types: [1] },
    /^RangeError: Expected types to be 2 whole numbers from 0, one a token, but found \[1\]$/,
  );
  refused({ tokens: [1], types: [-1] }, /^RangeError: Expected types to be 1 whole numbers/);
  refused({ tokens: [1], decay: -1 }, /^RangeError: Expected decay to be 0 or more but found -1$/);
});

Deno.test("llamaAdapter() times a number or a gate adds so much of what its prompt gives", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const plain = llamaAdapter({ length: 2, layers: 1, squash: "none" });
    const fresh = keep(plain.init({ model, key: 1 }));
    const params = keep(scope((): Synchronous<Tree> => noised(fresh.tree, key(2))));
    const by = (n: number): Gate => ({
      name: "by",
      config: {},
      init: () => ({}),
      value: (_, x) => full([1, 1, 1], n, x.backend),
    });
    const run = async (adapter: Adapter): Promise<readonly number[]> => {
      const { logits } = forward(graft(model, adapter), { inputIds: [[1, 2, 3]] });
      const numbers = [...await read(logits)];
      logits.storage.free();
      return numbers;
    };
    const tree = params.tree;
    const halved = keep(
      scope((): Synchronous<Tree> =>
        mapTree(tree, (t, path) => path.endsWith(".gate") ? multiply(t, 0.5) : multiply(t, 1)) as Synchronous<
          Tree
        >
      ),
    );
    const half = await run({ method: plain, params: halved.tree });
    assertClose(await run({ method: scaled(plain, 0.5), params: tree }), half, 1e-6);
    const gatedBy = (n: number): Adapter => ({
      method: gated(plain, by(n)) as unknown as Method,
      params: { of: tree, gates: { model: { layers: { 1: { self_attn: { prefix: {} } } } } } },
    });
    assertClose(await run(gatedBy(0.5)), half, 1e-6);
    const base = forward(model, { inputIds: [[1, 2, 3]] }).logits;
    assertClose(await run({ method: scaled(plain, 0), params: tree }), [...await read(base)], 1e-6);
    assertClose(await run(gatedBy(0)), [...await read(base)], 1e-6);
    base.storage.free();
    for (const root of [halved, params, fresh]) root.dispose();
    model.dispose();
  }));

Deno.test("llamaAdapter() says so where a model's own code makes no keys of other states", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const method = llamaAdapter({ length: 2, layers: 2 });
    const params = keep(method.init({ model, key: 1 }));
    const { weights } = graft(model, { method, params: params.tree });
    const site = into(rootOf(weights), "model", "layers", 0, "self_attn");
    scope(() => {
      const [x, q] = [zeros([1, 3, D], model.backend), zeros([1, 3, 4, 4], model.backend)];
      assert.throws(
        () => attention(barePass(model, {}), site, { x, q, k: q, v: q }, { causal: true }),
        /^TypeError: Cannot make keys and values of a prompt/,
      );
      return {};
    });
    params.dispose();
    model.dispose();
  }));

Deno.test("newTask() begins with the shared prompt and the sources' mean factors, or with one source's", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const [rows, u, v] = [[[1, 2]], [[[1]], [[3]]], [[[2, 4]], [[6, 0]]]].map((t) =>
      tensor(t as number[][], { backend })
    ) as [Tensor, Tensor, Tensor];
    const numbers = async (from?: "mean" | number): Promise<readonly number[]> => {
      const params = newTask({ rows, u, v }, from);
      const all = [...await read(params.rows), ...await read(params.u), ...await read(params.v)];
      dispose(params);
      return all;
    };
    assert.deepEqual(await numbers(), [1, 2, 2, 4, 2]);
    assert.deepEqual(await numbers(1), [1, 2, 3, 6, 0]);
    dispose({ rows, u, v });
  }));

Deno.test("methods of several tasks refuse what names none, one twice, or another", () => {
  const refused = (options: MultitaskPromptTuningOptions, message: RegExp): void =>
    assert.throws(() => multitaskPromptTuning(options), message);
  refused({ tasks: [] }, /^RangeError: Expected at least one task but found none$/);
  refused({ tasks: ["a", "b", "a"] }, /^RangeError: Expected tasks of different names but found "a" twice$/);
  refused({ tasks: ["a", "b"], task: "c" }, /^RangeError: Expected task to name a, b but found "c"$/);
  const model = tinyLlama(reference(), 1);
  assert.throws(
    () => adapt(model, multitaskPromptTuning({ stacks: "both" })),
    /^RangeError: Cannot give both stacks rows, stacks "both": the model has one$/,
  );
  model.dispose();
  refused({ rank: 0 }, /^RangeError: Expected rank to be a positive integer but found 0$/);
});
