/** PiSSA, OLoRA, LoftQ, QPiSSA, LoRA+ and rsLoRA: equal to PEFT or to the papers' algorithms transcribed in torch. */
import assert from "node:assert/strict";
import {
  adapt,
  bytesOf,
  chooseTargets,
  count,
  dispose,
  forward,
  graft,
  leaves,
  lookup,
  lossAndGrad,
  memory,
  type Model,
  quantize,
  read,
  sizesOf,
  type Tensor,
  weightLeaves,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import {
  loftq,
  loraPlus,
  loraScale,
  olora,
  pissa,
  type Prepared,
  type PreparedOptions,
  qlora,
  rslora,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { GOLDEN } from "../../support/golden.ts";
import { assertGoldenLife } from "../../support/golden_life.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";
import { methodLaws } from "../../support/method_laws.ts";

const LORA = { rank: 3, alpha: 5, targets: ["q_proj", "v_proj", "down_proj"] } as const;

const CASES: Readonly<Record<string, (model: Model) => Promise<Prepared<Model>>>> = {
  pissa: (model) => pissa(model, LORA),
  olora: (model) => olora(model, LORA),
  loftq: (model) => loftq(model, LORA),
  loftq5: (model) => loftq(model, { ...LORA, iterations: 5 }),
  qpissa: (model) => pissa(model, { ...LORA, quantize: { dtype: "nf4" } }),
  qpissa3: (model) => pissa(model, { ...LORA, quantize: { dtype: "nf4", iterations: 3 } }),
};

const logitsOf = async (model: Model): Promise<Float32Array> => {
  const { logits } = forward(model, goldenBatch());
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
};

for (const name of ALL_BACKENDS) {
  for (const [golden, prepare] of Object.entries(CASES)) {
    Deno.test(`${golden} lives as the oracle's does (${name})`, () =>
      withBackend(name, async (backend) => {
        const model = await goldenBase(backend);
        const prepared = await prepare(model);
        // PEFT's SVD is in f32, where two near singular values mix their vectors by 1e-5.
        const life = golden === "pissa" ? { init: 2e-5 } : {};
        await assertGoldenLife(golden, prepared.model, prepared.adapter, backend, life);
        // The base's change as an adapter of the original model does what the changed base does.
        assertClose(
          await logitsOf(graft(graft(model, prepared.base), prepared.adapter)),
          await logitsOf(graft(prepared.model, prepared.adapter)),
          1e-5,
        );
        prepared.dispose();
        model.dispose();
        assert.equal(memory(backend).live, 0);
      }));
  }

  for (const [golden, method] of [["lora_plus", loraPlus(LORA)], ["rslora", rslora(LORA)]] as const) {
    Deno.test(`${golden} lives as PEFT's does (${name})`, () =>
      withBackend(name, async (backend) => {
        const model = await goldenBase(backend);
        const fresh = adapt(model, method);
        await assertGoldenLife(golden, model, fresh, backend, { init: Infinity });
        dispose(fresh.params);
        model.dispose();
      }));
  }
}

const options: readonly PreparedOptions[] = [
  { rank: 2, targets: "all-linear" },
  { rank: 4, alpha: 1, scaling: "rankStabilized", rankPattern: { q_proj: 1 }, key: 7 },
  { rank: 2, targets: ["embed_tokens", "lm_head"] },
];
const unchanged: readonly ((model: Model, options: PreparedOptions) => Promise<Prepared<Model>>)[] = [
  pissa,
  (model, options) => pissa(model, { ...options, svd: { iterations: 4 } }),
  olora,
];
for (const [i, prepare] of unchanged.entries()) {
  Deno.test(`${["pissa()", "pissa() by randomized SVD", "olora()"][i]} leaves the function as it is`, async () => {
    const model = await goldenBase(reference());
    const before = memory(model.backend).live;
    for (const given of options) {
      const prepared = await prepare(model, given);
      assertClose(await logitsOf(graft(prepared.model, prepared.adapter)), await logitsOf(model), 1e-5);
      assert.notDeepEqual(await logitsOf(prepared.model), await logitsOf(model));
      prepared.dispose();
    }
    assert.equal(memory(model.backend).live, before);
    model.dispose();
  });
}

Deno.test("pissa() by randomized SVD is near the exact one and a function of the key", async () => {
  const model = await goldenBase(reference());
  const exact = await pissa(model, LORA);
  const near = await pissa(model, { ...LORA, svd: { iterations: 8 }, key: 3 });
  const again = await pissa(model, { ...LORA, svd: { iterations: 8 }, key: 3 });
  for (const [i, [path, t]] of leaves(exact.adapter.params).entries()) {
    assertClose(await read(leaves(near.adapter.params)[i]![1]), await read(t), 1e-3, path);
    assert.deepEqual(
      await read(leaves(again.adapter.params)[i]![1]),
      await read(leaves(near.adapter.params)[i]![1]),
    );
  }
  for (const prepared of [exact, near, again]) prepared.dispose();
  model.dispose();
});

Deno.test("loftq() stores codes and comes nearer to the base than the codes alone, and than unscaled factors", async () => {
  const model = await goldenBase(reference());
  const prepared = await loftq(model, { ...LORA, alpha: 24, iterations: 3, targets: "all-linear" });
  const coded = weightLeaves(prepared.model.weights).filter(([, t]) => t.dtype === "nf4");
  assert.equal(coded.length, 14);
  const distance = async (other: Model): Promise<number> => {
    const [a, b] = [await logitsOf(model), await logitsOf(other)];
    return Math.hypot(...a.map((x, i) => x - b[i]!));
  };
  const [adapted, alone] = [
    await distance(graft(prepared.model, prepared.adapter)),
    await distance(prepared.model),
  ];
  assert.ok(adapted < 0.9 * alone, `${adapted} against ${alone}`);
  prepared.dispose();
  model.dispose();
});

Deno.test("pissa(), olora() and loftq() name what cannot be", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  await assert.rejects(
    pissa(model, { rank: 13, targets: ["v_proj"] }),
    /rank 13 from ".*v_proj" \[12, 24\]: choose at most 12/,
  );
  await assert.rejects(olora(model, { rank: 1, targets: ["nowhere"] }), /"nowhere" matches no layer/);
  await assert.rejects(loftq(model, { iterations: 0 }), /iterations to be a positive integer but found 0/);
  await assert.rejects(loftq(model, { rank: 2, dtype: "f16" }), /quantized dtype .* found f16/);
  await assert.rejects(
    loftq(model, { rank: 2, targets: ["lm_head"] }),
    /"lm_head" under an adapter: .*embed_tokens/,
  );
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});

Deno.test("loraPlus() rates: λ for B and vectors, 1 for A, its own for an embedding", async () => {
  const model = await goldenBase(reference());
  const method = loraPlus({ rank: 2, ratio: 4, targets: ["embed_tokens", "q_proj"], branchBias: false });
  const params = method.init({ model, key: 0 });
  const rate = method.rates!({ params, spec: model.spec, learningRate: 0.01 });
  assert.equal(rate("model.layers.0.self_attn.q_proj.a"), 1);
  assert.equal(rate("model.layers.0.self_attn.q_proj.b"), 4);
  assert.ok(Math.abs(rate("model.embed_tokens.b") - 1e-4) < 1e-12);
  dispose(params);
  model.dispose();
  assert.throws(() => loraPlus({ ratio: 0 }), /ratio to be over 0/);
  assert.equal(qlora({ rank: 8 }).config["rank"], 8);
});

Deno.test("loftq() and QPiSSA code a matrix as it is stored, also where that is [in, out]", async () => {
  const model = await loadModel(`${GOLDEN}peft/bases/gpt2`, { backend: reference() });
  const targets = ["c_attn", "c_fc", "wte"];
  const coded = quantize(model, { dtype: "nf4", targets });
  const one = await loftq(model, { rank: 2, targets });
  const two = await pissa(model, { rank: 2, targets, quantize: { dtype: "nf4_double" } });
  for (const [path, t] of weightLeaves(one.model.weights).filter(([, t]) => t.dtype === "nf4")) {
    // The first step of LoftQ quantizes the weights themselves.
    assert.deepEqual(await bytesOf(t), await bytesOf(lookup(coded.weights, path) as Tensor), path);
  }
  for (const { model: changed, adapter } of [one, two]) {
    const [base, adapted] = [await logitsOf(model), await logitsOf(graft(changed, adapter))];
    const [distance, alone] = [adapted, await logitsOf(changed)]
      .map((logits) => Math.hypot(...logits.map((x, i) => x - base[i]!)));
    assert.ok(distance! < alone!, `${distance} against ${alone}`);
  }
  for (const each of [one, two, coded, model]) each.dispose();
});

Deno.test("pissa() and olora() on a quantized base keep its function", async () => {
  const base = await goldenBase(reference());
  const model = quantize(base, { dtype: "nf4" });
  for (const prepare of [pissa, olora]) {
    const prepared = await prepare(model, { rank: 2, targets: "all-linear" });
    assertClose(await logitsOf(graft(prepared.model, prepared.adapter)), await logitsOf(model), 1e-5);
    prepared.dispose();
  }
  model.dispose();
  base.dispose();
});

for (
  const [name, method] of Object.entries({ loraPlus: loraPlus({ rank: 2 }), rslora: rslora({ rank: 2 }) })
) {
  methodLaws(`${name}()`, {
    method: () => ({ method }),
    atInit: "base",
    merges: "and unmerges",
    counts: ({ spec }) => {
      const n = chooseTargets(spec, {}).map(sizesOf)
        .reduce((sum, { inFeatures, outFeatures }) => sum + 2 * (inFeatures + outFeatures), 0);
      return { added: n, trainable: n };
    },
    runs: 1,
  });
}

Deno.test("qlora() adapts every linear layer with rank 64 over α 16, and learns on a base in four bits", async () => {
  const base = await goldenBase(reference());
  const model = quantize(base, { dtype: "nf4_double" });
  const adapter = adapt(model, qlora());
  const layers = model.spec.linears;
  assert.equal(
    count(model, adapter).trainable,
    layers.reduce((n, { inFeatures, outFeatures }) => n + 64 * (inFeatures + outFeatures), 0),
  );
  assert.ok(Math.abs(loraScale("model.layers.0.mlp.up_proj", adapter.method.config) - 0.25) < 1e-12);
  const { grads } = await lossAndGrad(model, adapter, goldenBatch());
  assert.equal(leaves(grads).length, 2 * layers.length);
  dispose([grads, adapter.params]);
  model.dispose();
  base.dispose();
});

Deno.test("pissa(), olora() and loftq() read, compute and upload where a backend has no factorisations", async () => {
  const { svd: _, qr: __, orderStatistic: ___, ...backend } = reference();
  const [bare, model] = [await goldenBase(backend), await goldenBase(reference())];
  for (const prepare of [pissa, olora, loftq]) {
    const [found, wanted] = [await prepare(bare, LORA), await prepare(model, LORA)];
    for (const [i, [path, t]] of leaves(wanted.adapter.params).entries()) {
      const own = leaves(found.adapter.params)[i]![1];
      assert.equal(own.backend, backend);
      assert.deepEqual(await read(own), await read(t), path);
    }
    for (const [path, t] of weightLeaves(wanted.model.weights)) {
      assert.deepEqual(await bytesOf(lookup(found.model.weights, path) as Tensor), await bytesOf(t), path);
    }
    found.dispose();
    wanted.dispose();
  }
  bare.dispose();
  model.dispose();
  assert.equal(memory(backend).live, 0);
});
