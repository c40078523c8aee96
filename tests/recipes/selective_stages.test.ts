/**
 * The stages of DiffPruning, LT-SFT and FAR against literal transcriptions in PyTorch (tests/oracles/selective.py): which
 * elements and nodes are chosen, and what they become. SGD in both, since Adam magnifies the rounding of small gradients.
 */
import assert from "node:assert/strict";
import {
  type Backend,
  type Batch,
  compose,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lookup,
  lossAndGrad,
  merge,
  type Model,
  nest,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { diffPruning, prunedDiff } from "../../methods/mod.ts";
import { trainDiffPruning } from "../../recipes/diff_pruning.ts";
import { trainFar } from "../../recipes/far.ts";
import { trainLtSft } from "../../recipes/lt_sft.ts";
import type { StageOptions } from "../../recipes/stage.ts";
import { resident, type Rows, rowsFrom, sgd } from "../../train/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../support/golden.ts";
import { goldenBase, goldenBatch } from "../support/golden_method.ts";
import { tinyLlama } from "../support/tiny_models.ts";

const bert = (backend: Backend): Promise<Model> => loadModel(`${GOLDEN}encoders/bert_text`, { backend });
const bertBatch = (): Batch => JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/bert_text/case.json`));

/** A batch's texts, its padding cut off. */
function rowsOfBatch({ inputIds, attentionMask, labels }: Batch): Rows {
  return rowsFrom(inputIds.map((ids, i) => {
    const kept = ids.map((_, t) => t).filter((t) => attentionMask![i]![t] === 1);
    const own = labels![i] as readonly number[];
    return { inputIds: kept.map((t) => ids[t]!), labels: kept.map((t) => own[t]!) };
  }));
}

/** Three steps of SGD on all rows at once. */
const stage = (batchSize: number, epochs = 3): StageOptions => ({
  learningRate: 0.5,
  moments: (params) => resident(sgd(), params),
  batching: { kind: "buckets", batchSize },
  epochs,
  pad: 0,
});

for (const name of BACKENDS) {
  Deno.test(`diffPruning() and prunedDiff() equal the transcription (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await bert(backend);
        const expected = goldenNumbers("selective/diff_pruning.safetensors");
        const params = keep(scope((): Synchronous<Tree> =>
          nest(
            [...goldenTensors("selective/diff_pruning.safetensors", backend)]
              .filter(([key]) => key.startsWith("param."))
              .map(([key, t]) => [key.slice("param.".length), t] as const),
          ) as Synchronous<Tree>
        ));
        const adapter = { method: diffPruning({ sparsity: 1e-4 }), params: params.tree };
        const { logits } = forward(graft(model, adapter), bertBatch());
        assertClose(await read(logits), expected.get("logits")!, 1e-5, "logits");
        logits.storage.free();
        const { loss, grads } = await lossAndGrad(model, adapter, bertBatch());
        assertClose([loss], expected.get("loss")!, 1e-5, "loss");
        const wanted = [...expected.keys()].filter((key) => key.startsWith("grad."));
        assert.deepEqual(leaves(grads).map(([path]) => `grad.${path}`).sort(), wanted.sort());
        for (const [path, g] of leaves(grads)) {
          // The floor is for a key's bias, which has no effect.
          assertClose([...await read(g), 1e-3], [...expected.get(`grad.${path}`)!, 1e-3], 1e-4, path);
        }
        dispose(grads);

        const pruned = await prunedDiff(model, adapter, { ratio: 0.02 });
        const merged = merge(model, pruned);
        let kept = 0;
        for (const [path, t] of weightLeaves(merged.weights)) {
          const diff = expected.get(`kept.${path}`);
          if (diff === undefined) continue; // the classifier
          const [after, before] = [await read(t), await read(lookup(model.weights, path) as Tensor)];
          assertClose(after.map((x, i) => x - before[i]!), diff, 1e-5, path);
          kept += diff.filter((x) => x !== 0).length;
        }
        assert.equal(
          leaves(pruned.params).filter(([path]) => path.endsWith(".values")).reduce(
            (n, [, t]) => n + t.size,
            0,
          ),
          kept,
        );
        merged.dispose();
        dispose(pruned.params);
        params.dispose();
        model.dispose();
      })));

  Deno.test(`trainLtSft() equals the transcription in two rounds (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const expected = goldenNumbers("selective/lt_sft.safetensors");
        const adapter = await trainLtSft(model, rowsOfBatch(goldenBatch()), {
          elements: 80,
          iterations: 2,
          pull: 0.05,
          full: stage(2),
          sparse: stage(2),
        });
        let size = 0;
        for (const [key, wanted] of expected) {
          if (!key.startsWith("phi.")) continue;
          const path = key.slice("phi.".length);
          const values = lookup(adapter.params, `${path}.values`);
          const found = new Float32Array(wanted.length);
          const mask = new Float32Array(wanted.length);
          if (values !== undefined) {
            const indices = await read(lookup(adapter.params, `${path}.frozen.indices`) as Tensor);
            const numbers = await read(values as Tensor);
            indices.forEach((i, n) => (found[i] = numbers[n]!, mask[i] = 1));
            size += indices.length;
          }
          assert.deepEqual(mask, expected.get(`mask.${path}`), path);
          // 1e-3: twelve steps at a rate of 0.5; the floor is for leaves that hardly moved.
          assertClose([...found, 0.01], [...wanted, 0.01], 1e-3, path);
        }
        assert.equal(size, 80);
        dispose(adapter.params);
        model.dispose();
      })));

  for (const primed of ["kept", "reset"] as const) {
    Deno.test(`trainFar() equals the transcription, priming ${primed} (${name})`, () =>
      withBackend(name, (backend) =>
        assertNoLeak(async () => {
          const model = await bert(backend);
          const expected = goldenNumbers(`selective/${primed === "kept" ? "far" : "far_reset"}.safetensors`);
          const adapter = await trainFar(model, classRows(), {
            retention: 0.3,
            priming: stage(3),
            learning: stage(3),
            primed,
          });
          const merged = merge(model, adapter);
          for (const [key, wanted] of expected) {
            if (key.startsWith("after.")) {
              const path = key.slice("after.".length);
              assertClose(await read(lookup(merged.weights, path) as Tensor), wanted, 1e-4, path);
            } else {
              const path = `${key.slice("learners.".length)}.frozen.indices`;
              const nodes = [...wanted.keys()].filter((j) => wanted[j] === 1);
              assert.deepEqual([...await read(lookup(adapter.params, path) as Tensor)], nodes, path);
            }
          }
          merged.dispose();
          dispose(adapter.params);
          model.dispose();
        })));
  }
}

/** BERT's texts with a class each. */
function classRows(): Rows {
  const batch = bertBatch();
  const pick = (numbers: readonly number[]): Batch =>
    Object.fromEntries(
      Object.entries(batch).map(([field, rows]) => [
        field,
        numbers.map((n) => (rows as readonly unknown[])[n]),
      ]),
    ) as unknown as Batch;
  const count = batch.inputIds.length;
  return {
    count,
    lengths: batch.inputIds.map((ids) => ids.length),
    targets: batch.inputIds.map(() => 1),
    tokens: (n) => ({ inputIds: batch.inputIds[n]!, labels: [batch.labels![n] as number] }),
    batch: pick,
  };
}

Deno.test("trainDiffPruning() ends with the share of weights it was given, a lower loss and no gates", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = await bert(backend);
      const losses: number[] = [];
      const stepped: NonNullable<StageOptions["stepped"]> = ({ loss }) => void losses.push(loss);
      const plain = {
        batching: { kind: "buckets", batchSize: 3 },
        pad: 0,
        clip: 1,
        epochs: 8,
        stepped,
      } as const;
      const adapter = await trainDiffPruning(model, classRows(), {
        method: { sparsity: 1e-5 },
        ratio: 0.01,
        gated: { ...plain, learningRate: 2e-3 },
        fixed: { ...plain, learningRate: 1e-2 },
      });
      assert.equal(losses.length, 16);
      assert.ok(losses[7]! < 0.5 * losses[0]! && losses[15]! < 0.8 * losses[8]!, `${losses}`);
      const kept = leaves(adapter.params).filter(([path]) => path.endsWith(".values"))
        .reduce((n, [, t]) => n + t.size, 0);
      const gated = 10_407 - 63; // without the classifier
      assert.equal(kept, Math.floor(0.01 * gated));
      assert.deepEqual(
        [...new Set(leaves(adapter.params).map(([path]) => path.replace(/^.*\./, "")))].sort(),
        [
          "bias",
          "indices",
          "values",
          "weight",
        ],
      );
      dispose(adapter.params);
      model.dispose();
    })));

Deno.test("LT-SFT of a task and a language compose by addition, overlapping elements too", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = await goldenBase(backend);
      const rows = rowsOfBatch(goldenBatch());
      const recipe = { full: stage(2, 2), sparse: stage(2, 2) };
      const [task, language] = [
        await trainLtSft(model, rows, { ...recipe, elements: 60 }),
        await trainLtSft(model, rows, { ...recipe, elements: 200, pull: 0.1 }),
      ];
      const both = {
        method: compose({ task: task.method, language: language.method }),
        params: { task: task.params, language: language.params },
      };
      const [one, two, sum] = [merge(model, task), merge(model, language), merge(model, both)];
      let overlapping = 0;
      for (const [path, t] of weightLeaves(model.weights)) {
        const at = (m: Model) => read(lookup(m.weights, path) as Tensor);
        const [base, a, b, found] = [await read(t), await at(one), await at(two), await at(sum)];
        assertClose(found, base.map((x, i) => a[i]! + b[i]! - x), 1e-6, path);
        overlapping += base.filter((x, i) => x !== a[i] && x !== b[i]).length;
      }
      assert.ok(overlapping > 0);
      for (const m of [one, two, sum]) m.dispose();
      dispose([task.params, language.params]);
      model.dispose();
    })));

Deno.test("recipes refuse budgets and shares that leave nothing, before any training", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 0);
      const rows = rowsOfBatch({ inputIds: [[1, 2, 3]], attentionMask: [[1, 1, 1]], labels: [[1, 2, 3]] });
      const stages = { full: stage(1), sparse: stage(1) };
      await assert.rejects(
        trainLtSft(model, rows, { ...stages, elements: 1, iterations: 2 }),
        /^RangeError: Expected elements for at least one weight in each iteration but found 1 elements for 2 iterations; raise/,
      );
      await assert.rejects(
        trainLtSft(model, rows, { ...stages, elements: 5, frozen: /.*/ }),
        /^RangeError: Cannot place lt-sft: every weight is frozen$/,
      );
      await assert.rejects(
        trainLtSft(model, rows, { ...stages, elements: 1e6 }),
        /^RangeError: Expected to unfreeze at most the \d+ maskable weights but found 1000000$/,
      );
      await assert.rejects(
        trainFar(model, rows, { retention: 0, priming: stage(1), learning: stage(1) }),
        /^RangeError: Expected retention above 0 and up to 1 but found 0$/,
      );
      await assert.rejects(
        trainDiffPruning(model, rows, { ratio: 1e-9, gated: stage(1), fixed: stage(1) }),
        /^RangeError: Expected a ratio up to 1 that keeps at least one of \d+ weights but found 1e-9$/,
      );
      assert.throws(
        () => diffPruning({ sparsity: -1 }),
        /^RangeError: Expected diff-pruning's option "sparsity" to be a number of at least 0 but found -1$/,
      );
      model.dispose();
    })));
