/** SparseAdapter: masks equal those of the authors' scores (tests/oracles/sparse_adapter.py), and what a mask does. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Backend,
  type Batch,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  merge,
  type Method,
  nest,
  read,
  type Root,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import {
  adapterMask,
  type AdapterMaskOptions,
  houlsby,
  lora,
  parallelAdapter,
  sparseAdapter,
} from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { BACKENDS, withBackend } from "../../support/backends.ts";
import { goldenNumbers, goldenTensors } from "../../support/golden.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const HOST = houlsby({ reduction: 5, activation: "silu" });

/** Each row of the batch by itself. */
function rows(): readonly Batch[] {
  const { inputIds, attentionMask, labels } = goldenBatch();
  return inputIds.map((row, i) => ({
    inputIds: [row],
    attentionMask: [attentionMask![i]!],
    labels: [labels![i]!] as readonly (readonly number[])[],
  }));
}

function tree(file: string, prefix: string, backend: Backend): Root<Tree> {
  return keep(scope((): Synchronous<Tree> =>
    nest(
      [...goldenTensors(file, backend)].filter(([name]) => name.startsWith(prefix))
        .map(([name, t]) => [name.slice(prefix.length), t] as const),
    ) as Synchronous<Tree>
  ));
}

for (const name of BACKENDS) {
  Deno.test(`adapterMask() equals the authors' scores (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const params = tree("adapters/llama_houlsby.safetensors", "param.", backend);
        const expected = goldenNumbers("adapters/sparse.safetensors");
        const adapter: Adapter = { method: HOST, params: params.tree };
        for (const score of ["magnitude", "snip", "gradient", "synflow", "grasp"] as const) {
          const mask = await adapterMask(model, adapter, { keep: 0.4, score, batches: rows() });
          let [wrong, all, kept] = [0, 0, 0];
          for (const [path, t] of leaves(mask)) {
            const [found, wanted] = [await read(t), expected.get(`${score}.${path}`)!];
            assert.equal(found.length, wanted.length);
            wrong += found.filter((m, i) => m !== wanted[i]).length;
            kept += found.reduce((a, b) => a + b, 0);
            all += found.length;
          }
          assert.equal(kept, Math.floor(0.4 * all), score);
          // A central difference moves scores near the threshold: a few of 784 may change places.
          assert.ok(wrong <= (score === "grasp" ? 8 : 0), `${score}: ${wrong} of ${all} differ`);
          dispose(mask);
        }
        params.dispose();
        model.dispose();
      })));

  Deno.test(`sparseAdapter() equals masked matrices in logits, loss and gradients (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const params = tree("adapters/llama_houlsby.safetensors", "param.", backend);
        const mask = tree("adapters/sparse.safetensors", "snip.", backend);
        const expected = goldenNumbers("adapters/sparse.safetensors");
        const method = sparseAdapter({ host: HOST, mask: mask.tree });
        const adapter = { method, params: { of: params.tree, frozen: mask.tree } };
        const { logits } = forward(graft(model, adapter), goldenBatch());
        assertClose(await read(logits), expected.get("logits")!, 1e-5, "logits");
        logits.storage.free();
        const { loss, grads } = await lossAndGrad(model, adapter, goldenBatch());
        assertClose([loss], expected.get("loss")!, 1e-5, "loss");
        assert.deepEqual(
          leaves(grads).map(([path]) => path),
          leaves(params.tree).map(([path]) => `of.${path}`),
        );
        for (const [path, g] of leaves(grads)) {
          assertClose(await read(g), expected.get(`grad.${path}`)!, 1e-4, path);
        }
        dispose(grads);
        const finalized = method.finalize!(adapter.params, model.spec);
        assert.equal(finalized.method, HOST);
        const again = forward(graft(model, finalized), goldenBatch()).logits;
        assertClose(await read(again), expected.get("logits")!, 1e-5, "finalized");
        dispose([again, finalized.params]);
        mask.dispose();
        params.dispose();
        model.dispose();
      })));
}

/** A mask of a fresh adapter of a tiny model. */
async function freshMask(
  host: Method,
  options: AdapterMaskOptions,
  use: (mask: Tree) => unknown = () => {},
): Promise<void> {
  await withBackend("reference", async (backend) => {
    const model = tinyLlama(backend, 1);
    const params = keep(host.init({ model, key: 0 }));
    try {
      const mask = await adapterMask(model, { method: host, params: params.tree }, options);
      await use(mask);
      dispose(mask);
    } finally {
      params.dispose();
      model.dispose();
    }
  });
}

const TEXT: Batch = { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] };

Deno.test("adapterMask() keeps the wanted share at random, and thin matrices more densely under Erdős and Rényi", async () => {
  for (const score of ["random", "erdosRenyi"] as const) {
    await freshMask(houlsby({ reduction: 4 }), { keep: 0.5, score }, async (mask) => {
      const sizes = await Promise.all(
        leaves(mask).map(async ([, t]) => (await read(t)).reduce((a, b) => a + b, 0)),
      );
      assert.equal(sizes.reduce((a, b) => a + b, 0), 0.5 * 8 * 36);
    });
  }
});

Deno.test("adapterMask() throws on scores that are all zero, on missing batches and on shares out of range", async () => {
  await assert.rejects(
    freshMask(parallelAdapter({ reduction: 4 }), { keep: 0.5, batches: [TEXT] }),
    /Every snip score of parallelAdapter is 0/,
  );
  await assert.rejects(freshMask(houlsby(), { keep: 0.5 }), /Expected batches for the score "snip"/);
  await assert.rejects(
    freshMask(houlsby(), { keep: 0, score: "random" }),
    /Expected keep above 0 and up to 1/,
  );
  await assert.rejects(freshMask(lora(), { keep: 0.5, score: "synflow" }), /its edit at ".*" is no adapter/);
});

Deno.test("sparseAdapter() of LoRA merges into the weights as it computes", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 3);
      const host = lora({ rank: 3, initialization: "none" });
      const params = keep(host.init({ model, key: 0 }));
      const mask = keep(
        await adapterMask(model, { method: host, params: params.tree }, { keep: 0.3, score: "magnitude" }),
      );
      const adapter = {
        method: sparseAdapter({ host, mask: mask.tree }),
        params: { of: params.tree, frozen: mask.tree },
      };
      const merged = merge(model, adapter);
      const [one, two] = [forward(graft(model, adapter), TEXT).logits, forward(merged, TEXT).logits];
      assertClose(await read(two), [...await read(one)], 1e-5, "logits");
      const dense = forward(graft(model, { method: host, params: params.tree }), TEXT).logits;
      assert.notDeepEqual(await read(dense), await read(one));
      dispose([one, two, dense]);
      merged.dispose();
      mask.dispose();
      params.dispose();
      model.dispose();
    })));

Deno.test("adapterMask() makes Large-Sparse: four times as wide at a quarter has as many numbers in its matrices", async () => {
  await freshMask(houlsby({ reduction: 1 }), { keep: 0.25, score: "magnitude" }, async (mask) => {
    const kept = await Promise.all(
      leaves(mask).map(async ([, t]) => (await read(t)).reduce((a, b) => a + b, 0)),
    );
    await freshMask(houlsby({ reduction: 4 }), { keep: 1, score: "magnitude" }, (dense) => {
      const numbers = leaves(dense).reduce((n, [, t]) => n + t.size, 0);
      assert.equal(kept.reduce((a, b) => a + b, 0), numbers);
    });
  });
});
