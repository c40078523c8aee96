/**
 * Selective methods against transformers (tests/oracles/selective.py): which parameters train by the authors' rules on names,
 * and their gradients.
 */
import {
  adapt,
  type Backend,
  type Batch,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  type Method,
  type Model,
  nest,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import assert from "node:assert/strict";
import { loadModel } from "../../io/load_model.ts";
import { bitfit, crossAttention, topLayers } from "../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../support/golden.ts";
import { tinyLlama } from "../support/tiny_models.ts";

const load = (name: string, backend: Backend): Promise<Model> =>
  loadModel(`${GOLDEN}encoders/${name}`, { backend });
const batchOf = (name: string): Batch =>
  JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/${name}/case.json`));

/** Loss, and every gradient by name; one that vanishes is measured against the others. */
async function assertGradients(
  golden: string,
  model: Model,
  method: Method,
  params: Tree,
  batch: Batch,
): Promise<void> {
  const expected = goldenNumbers(`selective/${golden}.safetensors`);
  const { loss, grads } = await lossAndGrad(model, { method, params }, batch);
  assertClose([loss], expected.get("loss")!, 1e-5, "loss");
  const wanted = [...expected.keys()].filter((key) => key.startsWith("grad."));
  assert.deepEqual(leaves(grads).map(([path]) => `grad.${path}`).sort(), wanted.sort());
  const floor = 1e-2 * Math.max(...wanted.map((key) => Math.max(...expected.get(key)!.map(Math.abs))));
  for (const [path, g] of leaves(grads)) {
    assertClose([...await read(g), floor], [...expected.get(`grad.${path}`)!, floor], 1e-4, path);
  }
  dispose(grads);
}

const CASES: readonly (readonly [golden: string, model: string, method: Method])[] = [
  ["bitfit_bert", "bert_text", bitfit()],
  ["cross_t5", "t5", crossAttention()],
  ["top_bert", "bert_text", topLayers()],
];

for (const name of ALL_BACKENDS) {
  for (const [golden, source, method] of CASES) {
    Deno.test(`${method.name}() trains what the authors' rule chooses: ${golden} (${name})`, () =>
      withBackend(name, (backend) =>
        assertNoLeak(async () => {
          const model = await load(source, backend);
          const { params } = adapt(model, method);
          await assertGradients(golden, model, method, params, batchOf(source));
          dispose(params);
          model.dispose();
        })));
  }

  Deno.test(`bitfit() adds biases to T5's layers and norms (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await load("t5", backend);
        const expected = goldenNumbers("selective/bitfit_t5.safetensors");
        const params = keep(scope((): Synchronous<Tree> =>
          nest(
            [...goldenTensors("selective/bitfit_t5.safetensors", backend)]
              .filter(([key]) => key.startsWith("param."))
              .map(([key, t]) => [key.slice("param.".length), t] as const),
          ) as Synchronous<Tree>
        ));
        const method = bitfit();
        const fresh = method.init({ model, key: 0 });
        assert.deepEqual(
          leaves(fresh).map(([path, t]) => [path, t.size]).sort(),
          leaves(params.tree).map(([path, t]) => [path, t.size]).sort(),
        );
        dispose(fresh);
        const { logits } = forward(graft(model, { method, params: params.tree }), batchOf("t5"));
        assertClose(await read(logits), expected.get("logits")!, 1e-5, "logits");
        logits.storage.free();
        await assertGradients("bitfit_t5", model, method, params.tree, batchOf("t5"));
        params.dispose();
        model.dispose();
      })));
}

Deno.test("selective methods refuse models that lack what they need", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const llama = tinyLlama(backend, 0);
      const t5 = await load("t5", backend);
      assert.throws(
        () => adapt(llama, crossAttention()),
        /^RangeError: Cannot place crossAttention on llama: it has no attention from a decoder to an encoder$/,
      );
      assert.throws(
        () => adapt(llama, bitfit({ missing: "skip" })),
        /^RangeError: Cannot place bitfit: llama has no bias of the chosen kind; use missing: "add"$/,
      );
      assert.throws(
        () => adapt(llama, topLayers({ blocks: 3 })),
        /^RangeError: Expected at most the 2 blocks of the decoder but found 3$/,
      );
      assert.throws(
        () => adapt(t5, topLayers()),
        /^RangeError: Cannot place topLayers on t5: it has encoder and decoder; say which with stack$/,
      );
      assert.throws(
        () => topLayers({ blocks: 0 }),
        /^RangeError: Expected blocks to be a positive integer but found 0$/,
      );
      t5.dispose();
      llama.dispose();
    })));

Deno.test("crossAttention() may start anew, as Glorot with norms of one", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const t5 = await load("t5", backend);
      const { params } = adapt(t5, crossAttention({ start: "random" }));
      for (const [path, t] of leaves(params)) {
        const numbers = await read(t);
        if (path.includes("layer_norm")) assert.ok(numbers.every((x) => x === 1));
        else {
          const [n, m] = t.shape as [number, number];
          const bound = Math.sqrt(6 / (n + m)) / (path.includes(".o.") ? 1 : Math.SQRT2);
          assert.ok(numbers.every((x) => Math.abs(x) <= bound));
          assert.ok(Math.max(...numbers.map(Math.abs)) > 0.9 * bound, path);
        }
      }
      dispose(params);
      t5.dispose();
    })));
