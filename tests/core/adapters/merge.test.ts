/** Merging: storage types, quantized and tied bases, what stands in the way. */
import assert from "node:assert/strict";
import {
  adapt,
  castTo,
  castWeight,
  compose,
  dispose,
  type DType,
  forward,
  graft,
  isStoredTransposed,
  keep,
  lookup,
  mapTree,
  matrixAt,
  merge,
  type Method,
  type Model,
  read,
  scope,
  setLeaves,
  type Tensor,
  type Tree,
  unmerge,
  weightLeaves,
} from "../../../core/mod.ts";
import { bitfit, dora, fullFineTune, hra, ia3, loftq, lora, onOriginal } from "../../../methods/mod.ts";
import { add } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

const RANDOM = lora({ rank: 2, targets: "all-linear", initialization: "none" });

async function on(
  tiny: typeof tinyLlama,
  method: Method,
  f: (model: Model, adapter: { readonly method: Method; readonly params: Tree }) => unknown,
): Promise<void> {
  await assertNoLeak(async () => {
    const model = tiny(reference(), 5);
    const params = keep(adapt(model, method, 3).params);
    await f(model, { method, params: params.tree });
    params.dispose();
    model.dispose();
  });
}

async function logits(model: Model): Promise<Float32Array> {
  const out = forward(model, { inputIds: [[1, 2, 3, 9]] }).logits;
  const numbers = await read(out);
  out.storage.free();
  return numbers;
}

/** The model with its linear layers stored in another dtype. */
function stored(model: Model, dtype: DType): { readonly model: Model; dispose(): void } {
  const paths = new Set(model.spec.linears.map((place) => `${place.path}.weight`));
  const root = keep(scope(() =>
    Object.fromEntries(
      weightLeaves(model.weights).filter(([path]) => paths.has(path)).map((
        [path, t],
      ) => [path, castWeight(t, dtype, isStoredTransposed(model.spec, path))]),
    )
  ));
  return {
    model: { ...model, weights: setLeaves(model.weights, Object.entries(root.tree)) },
    dispose: () => root.dispose(),
  };
}

const dtypeOf = (model: Model, path: string): DType => (lookup(model.weights, path) as Tensor).dtype;

Deno.test("merge() on nf4 equals the adapted model, in f32, and re-quantizes only when asked", () =>
  on(tinyLlama, RANDOM, async (model, adapter) => {
    const quantized = stored(model, "nf4");
    const path = "model.layers.0.mlp.up_proj.weight";
    const merged = merge(quantized.model, adapter);
    assert.equal(dtypeOf(merged, path), "f32");
    assertClose(await logits(merged), await logits(graft(quantized.model, adapter)), 1e-5);
    const same = merge(quantized.model, adapter, { dtype: "same" });
    assert.equal(dtypeOf(same, path), "nf4");
    const half = merge(quantized.model, adapter, { dtype: "bf16" });
    assert.equal(dtypeOf(half, path), "bf16");
    half.dispose();
    merged.dispose();
    same.dispose();
    quantized.dispose();
  }));

for (const dtype of ["nf4", "nf4_double", "int8", "bf16"] as const) {
  for (const method of [RANDOM, dora({ rank: 2, initialization: "none" }), hra({ rank: 2 }), ia3()]) {
    Deno.test(`merge() of ${method.name} on ${dtype} matrices whose plain form lies [in, out] equals the adapted model`, () =>
      on(tinyGpt2, method, async (model, adapter) => {
        const quantized = stored(model, dtype);
        const merged = merge(quantized.model, adapter, { dtype: "f32" });
        assertClose(await logits(merged), await logits(graft(quantized.model, adapter)), 1e-5);
        merged.dispose();
        quantized.dispose();
      }));
  }
}

Deno.test("matrixAt() of a quantized matrix whose plain form lies [in, out] is what its codes say", () =>
  on(tinyGpt2, RANDOM, async (model) => {
    const quantized = stored(model, "nf4");
    const place = model.spec.linears[0]!;
    const leaf = lookup(quantized.model.weights, `${place.path}.weight`) as Tensor;
    const root = keep(scope(() => ({
      matrix: matrixAt(quantized.model, place),
      decoded: castTo(leaf, "f32"),
    })));
    assert.deepEqual(root.tree.matrix.shape, [place.outFeatures, place.inFeatures]);
    assert.deepEqual(await read(root.tree.matrix), await read(root.tree.decoded));
    root.dispose();
    quantized.dispose();
  }));

Deno.test("onOriginal() brings LoftQ on matrices that lie [in, out] back to the base that everyone has", () =>
  on(tinyGpt2, RANDOM, async (model) => {
    const prepared = await loftq(model, { rank: 2 });
    const { adapter } = await onOriginal(model, prepared);
    assertClose(
      await logits(graft(model, adapter)),
      await logits(graft(prepared.model, prepared.adapter)),
      1e-5,
    );
    dispose(adapter.params);
    prepared.dispose();
  }));

Deno.test("merge() keeps the base and outlives the adapter", () =>
  on(tinyGpt2, fullFineTune(), async (model, { method, params }) => {
    const own = keep(scope(() => mapTree(params, (t) => add(t, 0.1))));
    const expected = await logits(graft(model, { method, params: own.tree }));
    const base = await logits(model);
    const merged = merge(model, { method, params: own.tree });
    own.dispose();
    assert.deepEqual(await logits(merged), expected);
    merged.dispose();
    assert.deepEqual(await logits(model), base);
  }));

Deno.test("merge() of a tied embedding gives the head a matrix of its own", () =>
  on(tinyGpt2, lora({ targets: ["wte"], initialization: "none" }), async (model, adapter) => {
    const merged = merge(model, adapter);
    assertClose(await logits(merged), await logits(graft(model, adapter)), 1e-5);
    merged.dispose();
  }));

Deno.test("merge() puts an embedding's bias into every row", () =>
  on(
    tinyLlama,
    lora({ targets: ["embed_tokens"], initialization: "none", branchBias: true }),
    async (model, a) => {
      const params = keep(scope(() => mapTree(a.params, (t) => add(t, 0.2))));
      const adapter = { ...a, params: params.tree };
      const merged = merge(model, adapter);
      assertClose(await logits(merged), await logits(graft(model, adapter)), 1e-5);
      const back = unmerge(merged, adapter);
      assertClose(await logits(back), await logits(model), 1e-5);
      back.dispose();
      merged.dispose();
      params.dispose();
    },
  ));

Deno.test("merge() folds what is composed in order", () =>
  on(tinyLlama, compose({ lora: RANDOM, ia3: ia3(), again: RANDOM }), async (model, a) => {
    const params = keep(scope(() => mapTree(a.params, (t) => add(t, 0.3))));
    const adapter = { ...a, params: params.tree };
    const merged = merge(model, adapter);
    assertClose(await logits(merged), await logits(graft(model, adapter)), 1e-5);
    const back = unmerge(merged, adapter);
    assertClose(await logits(back), await logits(model), 1e-4); // scales of a few hundredths divide rounding up
    back.dispose();
    merged.dispose();
    params.dispose();
  }));

Deno.test("merge() refuses a place where another adapter is grafted", () =>
  on(tinyLlama, RANDOM, (model, adapter) => {
    assert.throws(() => merge(graft(model, adapter), adapter), {
      name: "TypeError",
      message:
        'Cannot merge the edit at "model.layers.0.self_attn.q_proj": another adapter is grafted there; merge it first, ' +
        "or both composed",
    });
  }));

for (const name of ALL_BACKENDS) {
  Deno.test(`merge() to half floats of biases that norms and layers had not is read as it is stored (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = tinyLlama(backend, 5);
        const method = bitfit();
        const params = keep(scope(() => mapTree(method.init({ model, key: 1 }), (t) => add(t, 0.25))));
        const adapter = { method, params: params.tree };
        const run = async (m: Model): Promise<Float32Array> => {
          const { logits } = forward(m, { inputIds: [[1, 2, 3]] });
          const numbers = await read(logits);
          dispose(logits);
          return numbers;
        };
        const expected = await run(graft(model, adapter));
        for (const dtype of ["f16", "bf16"] as const) {
          const merged = merge(model, adapter, { dtype });
          const bias = lookup(merged.weights, "model.norm.bias") as Tensor;
          assert.equal(bias.dtype, dtype);
          assertClose(await run(merged), expected, 1e-5, dtype); // a quarter is one number in either
          merged.dispose();
        }
        params.dispose();
        model.dispose();
      })));
}
