/** Masks equal those of the authors' scores (tests/oracles/sparse_adapter.py), and keep the share that is wanted. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Backend,
  type Batch,
  dispose,
  keep,
  leaves,
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
} from "../../../methods/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
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
        const params = tree("adapter_hub_cases/llama_houlsby.safetensors", "param.", backend);
        const expected = goldenNumbers("sparse_adapter.safetensors");
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
    /Every snip score of parallel-adapter is 0/,
  );
  await assert.rejects(freshMask(houlsby(), { keep: 0.5 }), /Expected batches for the score "snip"/);
  await assert.rejects(
    freshMask(houlsby(), { keep: 0, score: "random" }),
    /Expected keep above 0 and up to 1/,
  );
  await assert.rejects(freshMask(lora(), { keep: 0.5, score: "synflow" }), /its edit at ".*" is no adapter/);
});

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
