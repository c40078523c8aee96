/**
 * FISH masks against literal transcriptions in PyTorch (tests/oracles/selective.py): the Fisher information, which elements
 * the mask takes, and the weights after three steps. Tolerances: 1e-4 of the largest, for squares of gradients in f32.
 */
import assert from "node:assert/strict";
import {
  type Backend,
  type Batch,
  dispose,
  graft,
  keep,
  leaves,
  lookup,
  loss,
  lossAndGrad,
  merge,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
  weightLeaves,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { fishMask, maskSize, type SparseMask } from "../../../methods/mod.ts";
import { fisherMask } from "../../../methods/selective/fisher_mask.ts";
import { adamw, fisher, resident } from "../../../train/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { BACKENDS, withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const bert = (backend: Backend): Promise<Model> => loadModel(`${GOLDEN}encoders/bert_text`, { backend });
const bertBatch = (): Batch => JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/bert_text/case.json`));

interface Case {
  readonly name: string;
  readonly model: (backend: Backend) => Promise<Model>;
  readonly batch: () => Batch;
  readonly labels: "empirical" | "expected";
  readonly ratio: number;
}

const CASES: readonly Case[] = [
  { name: "fish_bert", model: bert, batch: bertBatch, labels: "empirical", ratio: 0.05 },
  { name: "fish_bert_expected", model: bert, batch: bertBatch, labels: "expected", ratio: 0.05 },
  { name: "fish_llama", model: goldenBase, batch: goldenBatch, labels: "empirical", ratio: 0.02 },
];

/** The mask as ones and zeros, by leaf. */
function dense(mask: SparseMask, model: Model): ReadonlyMap<string, Float32Array> {
  const whole = mask.whole.map((path) => {
    const ones = new Float32Array((lookup(model.weights, path) as Tensor).size).fill(1);
    return [path, ones] as const;
  });
  const masked = mask.leaves.map(({ path, shape, indices }) => {
    const numbers = new Float32Array(shape.reduce((a, b) => a * b, 1));
    for (const i of indices) numbers[i] = 1;
    return [path, numbers] as const;
  });
  return new Map([...whole, ...masked]);
}

for (const name of BACKENDS) {
  for (const { name: golden, model: load, batch: batchOf, labels, ratio } of CASES) {
    Deno.test(`fisherMask() and fishMask() equal the transcription of ${golden} (${name})`, () =>
      withBackend(name, (backend) =>
        assertNoLeak(async () => {
          const expected = goldenNumbers(`selective/${golden}.safetensors`);
          const model = await load(backend);
          const batch = batchOf();
          const found = await fisher(model, [batch], { labels });
          assert.equal(found.examples, batch.inputIds.length);
          const paths = [...expected.keys()].filter((key) => key.startsWith("fisher."));
          assert.deepEqual(leaves(found.diagonal).map(([path]) => `fisher.${path}`).sort(), paths.sort());
          // A key bias has no effect on a softmax: its information is rounding, measured against the others'.
          const floor = 1e-6 * Math.max(...paths.map((key) => Math.max(...expected.get(key)!)));
          for (const [path, t] of leaves(found.diagonal)) {
            assertClose([...await read(t), floor], [...expected.get(`fisher.${path}`)!, floor], 1e-4, path);
          }
          found.dispose();

          const mask = await fisherMask(model, [batch], { ratio, labels });
          for (const [path, numbers] of dense(mask, model)) {
            assert.deepEqual(numbers, expected.get(`mask.${path}`), path);
          }
          await assertSteps(model, batch, mask, expected);
          model.dispose();
        })));
  }
}

async function assertSteps(
  model: Model,
  batch: Batch,
  mask: SparseMask,
  expected: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const method = fishMask({ mask });
  const params = keep<Tree>(method.init({ model, key: 0 }));
  const moments = resident(adamw(), params.tree);
  const stateBytes = moments.bytes().resident;
  const trained = maskSize(mask) +
    mask.whole.reduce((n, path) => n + (lookup(model.weights, path) as Tensor).size, 0);
  assert.equal(stateBytes, 2 * 4 * trained); // two f32 moments per element of the mask
  for (let step = 1; step <= 3; step++) {
    const adapter = { method, params: params.tree };
    const { loss, grads } = await lossAndGrad(model, adapter, batch);
    assertClose([loss], expected.get(`loss${step - 1}`)!, 1e-5, "loss");
    params.replace(await moments.apply(params.tree, grads, { learningRate: 1e-2, step }));
    dispose(grads);
  }
  const merged = merge(model, { method, params: params.tree });
  for (const [path, t] of weightLeaves(merged.weights)) {
    // 1e-4: Adam's first steps magnify the rounding of small gradients.
    assertClose(await read(t), expected.get(`after.${path}`)!, 1e-4, path);
  }
  merged.dispose();
  moments.dispose();
  params.dispose();
}

Deno.test("fishMask() trains: the loss falls, and nothing outside the mask moves", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = await bert(backend);
      const batch = bertBatch();
      const mask = await fisherMask(model, [batch], { ratio: 0.05 });
      const method = fishMask({ mask });
      const params = keep<Tree>(method.init({ model, key: 0 }));
      const moments = resident(adamw({ weightDecay: 0.1 }), params.tree);
      const lossNow = async (): Promise<number> => {
        const value = scope((): Synchronous<Tensor> =>
          loss(graft(model, { method, params: params.tree }), batch)
        );
        const [n] = await read(value);
        value.storage.free();
        return n!;
      };
      const before = await lossNow();
      for (let step = 1; step <= 10; step++) {
        const { grads } = await lossAndGrad(model, { method, params: params.tree }, batch);
        params.replace(await moments.apply(params.tree, grads, { learningRate: 2e-3, step }));
        dispose(grads);
      }
      const after = await lossNow();
      assert.ok(after < 0.8 * before, `${before} became ${after}`);
      const merged = merge(model, { method, params: params.tree });
      const masks = dense(mask, model);
      for (const [path, t] of weightLeaves(merged.weights)) {
        const [after, at] = [await read(t), await read(lookup(model.weights, path) as Tensor)];
        const moved = after.findIndex((x, i) => x !== at[i] && masks.get(path)![i] === 0);
        assert.equal(moved, -1, `${path}[${moved}] moved`);
      }
      merged.dispose();
      moments.dispose();
      params.dispose();
      model.dispose();
    })));

Deno.test("fisherMask() and fishMask() refuse budgets, masks and examples that do not fit", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = await bert(backend);
      const batch = bertBatch();
      await assert.rejects(
        fisherMask(model, [batch], { ratio: 0.005 }),
        /^RangeError: Expected a budget of at least one weight beside the classifier's 63 but found 52 of 10407 \(ratio 0\.005\)$/,
      );
      await assert.rejects(
        fisherMask(model, [batch], { ratio: 2 }),
        /^RangeError: Expected ratio above 0 and up to 1 but found 2$/,
      );
      await assert.rejects(fisherMask(model, [], { ratio: 0.1 }), /there are no examples/);
      const mask = await fisherMask(model, [batch], { ratio: 0.05 });
      const other = tinyLlama(backend, 0);
      assert.throws(
        () => fishMask({ mask }).init({ model: other, key: 0 }),
        /^RangeError: Cannot use the mask of fish-mask on this model: it has no weight "bert\./,
      );
      const leaf = { path: "lm_head.weight", shape: [3, 3], indices: Int32Array.of(1) };
      assert.throws(
        () => fishMask({ mask: { leaves: [leaf], whole: [] } }).init({ model: other, key: 0 }),
        /^RangeError: .* lm_head\.weight: expected \[3, 3\] but found \[11, 12\]$/,
      );
      assert.throws(
        () => fishMask({ mask: { leaves: [{ ...leaf, indices: Int32Array.of(9) }], whole: [] } }),
        /^RangeError: Expected indices of the mask of fish-mask for "lm_head\.weight" \[3, 3\] to rise below 9 but found 9$/,
      );
      assert.throws(
        () => fishMask({ mask: { leaves: [], whole: [] } }),
        /^RangeError: Expected the mask of fish-mask to hold at least one element but found none$/,
      );
      await assert.rejects(
        fisherMask(other, [{ inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] }], {
          ratio: 0.1,
          labels: "expected",
        }),
        /^RangeError: Cannot take the expected Fisher information of an example with 2 labels of kind "next"/,
      );
      other.dispose();
      model.dispose();
    })));

Deno.test("a mask of 0.5 % is stored in under 0.75 % of the model's bytes, and its optimizer state is 0.5 % of the full one's", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 0, { width: 64, vocabulary: 20_000, inner: 96 });
      let state = 1;
      const drawn = (): boolean => (state = (state * 48_271) % 2_147_483_647) < 0.005 * 2_147_483_647;
      const mask: SparseMask = {
        leaves: weightLeaves(model.weights).map(([path, { shape, size }]) => ({
          path,
          shape,
          indices: Int32Array.from({ length: size }, (_, i) => i).filter(drawn),
        })),
        whole: [],
      };
      const all = weightLeaves(model.weights).reduce((n, [, t]) => n + t.size, 0);
      const method = fishMask({ mask });
      const params = keep<Tree>(method.init({ model, key: 0 }));
      const moments = resident(adamw(), params.tree);
      const share = moments.bytes().resident / (8 * all);
      assert.ok(Math.abs(share - 0.005) < 2e-4, `${share}`);
      const folder = Deno.makeTempDirSync();
      await saveAdapter(folder, { method, params: params.tree }, model, { format: "graft" });
      const { size } = Deno.statSync(`${folder}/adapter_model.safetensors`);
      Deno.removeSync(folder, { recursive: true });
      assert.ok(size < 0.0075 * 4 * all, `${size / (4 * all)}`);
      moments.dispose();
      params.dispose();
      model.dispose();
    })));
