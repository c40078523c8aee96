/** SparseAdapter: the laws of methods, and what a mask does, against masked matrices (tests/oracles/sparse_adapter.py). */
import assert from "node:assert/strict";
import {
  type Backend,
  type Batch,
  dispose,
  forward,
  graft,
  keep,
  key,
  leaves,
  lossAndGrad,
  merge,
  type Method,
  type Model,
  nest,
  read,
  type Root,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import { adapterMask, houlsby, lets, lora, mam, sparseAdapter } from "../../../methods/mod.ts";
import { sparseAdapterDefinition } from "../../../methods/adapters/sparse_adapter.ts";
import { less, normal } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { BACKENDS, withBackend } from "../../support/backends.ts";
import { goldenNumbers, goldenTensors } from "../../support/golden.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";
import { bottleneck, LAYERS, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { preparing } from "../../support/preparing.ts";
import type { Made } from "../../support/subject.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const HOST = houlsby({ reduction: 5, activation: "silu" });

function tree(file: string, prefix: string, backend: Backend): Root<Tree> {
  return keep(scope((): Synchronous<Tree> =>
    nest(
      [...goldenTensors(file, backend)].filter(([name]) => name.startsWith(prefix))
        .map(([name, t]) => [name.slice(prefix.length), t] as const),
    ) as Synchronous<Tree>
  ));
}

for (const name of BACKENDS) {
  Deno.test(`sparseAdapter() equals masked matrices in logits, loss and gradients (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const params = tree("adapter_hub_cases/llama_houlsby.safetensors", "param.", backend);
        const mask = tree("sparse_adapter.safetensors", "snip.", backend);
        const expected = goldenNumbers("sparse_adapter.safetensors");
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

const TEXT: Batch = { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] };

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

/** A host under a mask of every second number. */
const halved = (host: Method) => (model: Model): Made => {
  const params = scope((): Synchronous<Tree> => host.init({ model, key: 0 }) as Synchronous<Tree>);
  const mask = keep(scope((): Synchronous<Tree> => {
    const matrices = leaves(params).filter(([, t]) => t.shape.length > 1);
    return nest(
      matrices.map(([path, t]) => [path, less(normal(key(path.length), t.shape, t.backend), 0)] as const),
    ) as Synchronous<Tree>;
  }));
  dispose(params);
  return { method: sparseAdapter({ host, mask: mask.tree }), dispose: () => mask.dispose() };
};
methodLaws("sparseAdapter() of houlsby()", {
  method: halved(houlsby({ reduction: 4, deviation: 0.1 })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: 2 * LAYERS * bottleneck(3), changed: 0 }),
});
methodLaws("sparseAdapter() of lora()", {
  method: halved(lora({ rank: 2, initialization: "none" })),
  atInit: "other",
  merges: "and unmerges",
  finalizes: true,
  counts: () => ({}),
});
methodLaws("sparseAdapter() of mam()", {
  method: halved(
    mam({ prefix: { length: 3, network: { hidden: 5 } }, parallel: { reduction: 4, activation: "tanh" } }),
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});

/** Behind a maximum; the golden cases judge these. */
const unlikeDifferences = (): boolean => true;

methodLaws("sparseAdapter() of lets()", {
  unlikeDifferences,
  method: halved(lets({ pool: "each" })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});

Deno.test("sparseAdapter() is prepared with a host of any method, as wide as the bottleneck says", async () => {
  const model = tinyLlama(reference(), 1);
  const prepared = (options: Readonly<Record<string, unknown>>) =>
    sparseAdapterDefinition.prepare!(preparing(model, { score: "magnitude", ...options }));
  await assertNoLeak(async () => {
    for (const [host, bottleneck] of [["pfeiffer", 3], ["houlsby", 2], ["parallelAdapter", 4]] as const) {
      const { adapter: { params } } = await prepared({ host, bottleneck });
      const [, down] = leaves(params["of"] as Tree).find(([path]) => path.endsWith("mlp.down.weight"))!;
      assert.deepEqual(down.shape, [bottleneck, WIDTH], host);
      dispose(params);
    }
    await assert.rejects(prepared({ host: "compose" }), /"host" to be made from options, unlike compose/);
    await assert.rejects(
      prepared({ host: "parallelAdapter", score: "random", hostOptions: { rank: 2 } }),
      /no option "rank"/,
    );
  });
  model.dispose();
});
