/** Quantized models against bitsandbytes' own layers: golden/quantize.json, made by oracles/quantize.py. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createHash } from "node:crypto";
import {
  adapt,
  bytesOf,
  castTo,
  CODE_BLOCK,
  dequantize,
  dispose,
  type DType,
  forward,
  graft,
  key,
  layout,
  leaves,
  lookup,
  memory,
  type Model,
  quantize,
  read,
  scope,
  type Synchronous,
  type Tensor,
  weightBytes,
  weightLeaves,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { lora } from "../../../methods/mod.ts";
import { normal } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { wasm } from "../../../ops/wasm/mod.ts";
import golden from "../../oracles/golden/quantize.json" with { type: "json" };
import { assertClose } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";
import { tinyT5 } from "../../support/tiny_models.ts";

const BASE = `${GOLDEN}llama_lora/base`;
const backends = [reference(), await wasm({ threads: 1 })];
const kinds = Object.keys(golden.kinds) as (keyof typeof golden.kinds)[];

/** A weight's hash. Bytes that only fill a part up to a multiple of 4 may hold anything: they count as 0. */
async function hashOf(model: Model, path: string): Promise<string> {
  const leaf = lookup(model.weights, path) as Tensor;
  const bytes = await bytesOf(leaf);
  const at = layout(leaf.dtype, leaf.shape);
  bytes.fill(0, leaf.dtype === "int8" ? leaf.size : Math.ceil(leaf.size / 2), at.scales);
  if (leaf.dtype.endsWith("_double")) bytes.fill(0, at.scales + Math.ceil(leaf.size / CODE_BLOCK), at.nested);
  return createHash("sha256").update(bytes).digest("hex");
}

async function logitsOf(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, { inputIds: golden.ids });
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

for (const backend of backends) {
  for (const kind of kinds) {
    Deno.test(`quantize() makes ${kind} layers with bitsandbytes' bits on ${backend.name}`, async () => {
      const before = memory(backend).live;
      const model = await loadModel(BASE, { backend, dtype: "f16" });
      const small = quantize(model, { dtype: kind });
      for (const [path, hash] of Object.entries(golden.kinds[kind])) {
        assert.equal(await hashOf(small, path), hash, path);
      }
      assert.equal(Object.keys(golden.kinds[kind]).length, model.spec.linears.length);
      small.dispose();
      model.dispose();
      assert.equal(memory(backend).live, before);
    });
  }

  for (const kind of ["nf4", "nf4_double", "fp4"] as const) {
    Deno.test(`forward() of a ${kind} model gives bitsandbytes' logits on ${backend.name}`, async () => {
      const model = await loadModel(BASE, { backend, quantize: { dtype: kind } });
      assertClose(await logitsOf(model), golden.logits[kind], 1e-5, "logits"); // f32 sums of 28
      model.dispose();
    });
  }
}

const [backend] = backends;
const model = await loadModel(BASE, { backend: backend! });

Deno.test("quantize() shares every other weight, keeps the base as it is and frees only its own", async () => {
  const before = memory(backend).live;
  const bytes = weightBytes(model);
  const logits = await logitsOf(model);
  const small = quantize(model, { dtype: "nf4", targets: ["q_proj", "down_proj"] });
  const chosen = /(q_proj|down_proj)\.weight$/;
  for (const [path, leaf] of weightLeaves(model.weights)) {
    const after = lookup(small.weights, path) as Tensor;
    assert.equal(after === leaf, !chosen.test(path), path);
    assert.equal(after.dtype, chosen.test(path) ? "nf4" : "f32", path);
  }
  assert.throws(() => model.dispose(), /others still use/);
  small.dispose();
  assert.equal(memory(backend).live, before);
  assert.equal(weightBytes(model), bytes);
  assert.deepEqual(await logitsOf(model), logits);
});

Deno.test("quantize() leaves grafted edits above the quantized base, in either order", async () => {
  const adapter = adapt(model, lora({ rank: 2, targets: "all-linear", initialization: "none" }), 3);
  const first = quantize(graft(model, adapter), { dtype: "int8" });
  const second = quantize(model, { dtype: "int8" });
  assert.deepEqual(await logitsOf(first), await logitsOf(graft(second, adapter)));
  assert.notDeepEqual(await logitsOf(first), await logitsOf(second));
  first.dispose();
  second.dispose();
  assert.ok(
    leaves(adapter.params).every(([, t]) => !t.storage.freed),
    "the adapter is not the model's to free",
  );
  for (const [, t] of leaves(adapter.params)) t.storage.free();
});

Deno.test("quantize() stores embeddings as asked, and weightBytes() adds what the layouts take", () => {
  const small = quantize(model, { dtype: "nf4_double", embeddings: "f16" });
  const dtypes = new Map<DType, number>();
  for (const [, leaf] of weightLeaves(small.weights)) {
    dtypes.set(leaf.dtype, (dtypes.get(leaf.dtype) ?? 0) + leaf.bytes);
  }
  assert.equal(dtypes.get("f16"), 2 * 37 * 24);
  assert.equal(dtypes.get("f32"), 4 * 5 * 24); // five norms
  // Per layer: n/2 bytes of codes, one byte per block of 64, padded to 4, one f32 per 256 of those, one f32.
  const layer = (n: number): number => n / 2 + 4 * Math.ceil(Math.ceil(n / 64) / 4) + 4 + 4;
  const sizes = [24 * 24, 12 * 24, 12 * 24, 24 * 24, 28 * 24, 28 * 24, 24 * 28];
  const expected = 2 * sizes.reduce((sum, n) => sum + layer(n), 0);
  assert.equal(dtypes.get("nf4_double"), expected);
  assert.equal(weightBytes(small), 2 * 37 * 24 + 4 * 5 * 24 + expected);
  small.dispose();
});

Deno.test("quantize() of a tied head codes the table that it shares, and of its own head the head", async () => {
  const tied = quantize(model, { dtype: "int8", targets: ["lm_head"] });
  const dtypes = (m: Model): readonly string[] =>
    weightLeaves(m.weights).filter(([, leaf]) => leaf.dtype !== "f32").map(([path, leaf]) =>
      `${path} ${leaf.dtype}`
    );
  assert.deepEqual(dtypes(tied), ["model.embed_tokens.weight int8"]);
  tied.dispose();
  const untied = await loadModel(`${GOLDEN}formats/bnb_nf4`, { backend: backend!, dtype: "f32" });
  const quantized = quantize(untied, { dtype: "nf4", embeddings: "int8" });
  assert.deepEqual(dtypes(quantized).filter((leaf) => leaf.endsWith("int8")).sort(), [
    "lm_head.weight int8",
    "model.embed_tokens.weight int8",
  ]);
  quantized.dispose();
  untied.dispose();
});

Deno.test("quantize() on quantized weights needs requantize, and dequantize() undoes it within the code's step", async () => {
  const small = quantize(model, { dtype: "int8" });
  assert.throws(
    () => quantize(small, { dtype: "nf4" }),
    /^TypeError: Cannot quantize "model\.layers\.0\.self_attn\.q_proj\.weight" to nf4: it is int8 already; .*requantize: true/,
  );
  const same = quantize(small, { dtype: "int8" });
  assert.equal(weightBytes(same), weightBytes(small));
  const again = quantize(small, { dtype: "nf4", requantize: true });
  assert.ok(weightBytes(again) < weightBytes(small));
  const plain = dequantize(small);
  const path = "model.layers.1.mlp.down_proj.weight";
  const [a, b] = [
    await read(lookup(model.weights, path) as Tensor),
    await read(lookup(plain.weights, path) as Tensor),
  ];
  for (let row = 0; row < 24; row++) {
    const largest = Math.max(...a.subarray(28 * row, 28 * row + 28).map(Math.abs));
    for (let i = 28 * row; i < 28 * row + 28; i++) {
      // Half a code's step, and half a step of f16, of which bitsandbytes makes int8.
      assert.ok(Math.abs(a[i]! - b[i]!) <= 0.5001 * largest / 127 + largest / 2048);
    }
  }
  assert.ok(weightLeaves(plain.weights).every(([, leaf]) => leaf.dtype === "f32"));
  for (const made of [plain, again, same, small]) made.dispose();
});

Deno.test("quantize() refuses what cannot be stored, naming the weight", () => {
  const before = memory(backend).live;
  assert.throws(
    () => quantize(model, { dtype: "q8_0" }),
    /^RangeError: Cannot quantize "model\.layers\.0\.self_attn\.q_proj\.weight": .*multiple of 32 but is 24.*targets/,
  );
  assert.throws(() => quantize(model, { dtype: "q4_k" }), /can only be read/);
  assert.throws(() => quantize(model, { dtype: "i32" }), /Cannot store weights as i32/);
  assert.throws(() => quantize(model, { dtype: "nf4", targets: ["qq_proj"] }), /"qq_proj" matches no layer/);
  assert.equal(memory(backend).live, before);
});

Deno.test("quantize() to a dtype and back never moves a number further than the type's widest gap", async () => {
  // Half the widest gap between neighbouring values, over the block's largest magnitude (f32 rounding on top).
  const reach: readonly (readonly [DType, number])[] = [
    ["int4", 0.5 / 7],
    ["e2m1", 1 / 6],
    ["e3m0", 4 / 16],
    ["fp4", 1 / 6],
    ["nf4", 0.1520],
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...reach),
      fc.integer({ min: 1, max: 999 }),
      async ([dtype, step], seed) => {
        const leaf = normal(key(seed), [5, 31], backend!);
        const quantized = scope((): Synchronous<Tensor> => castTo(castTo(leaf, dtype), "f32"));
        const [x, y] = [await read(leaf), await read(quantized)];
        dispose([leaf, quantized]);
        for (let start = 0; start < x.length; start += CODE_BLOCK) {
          const largest = Math.max(...x.subarray(start, start + CODE_BLOCK).map(Math.abs));
          for (let i = start; i < Math.min(start + CODE_BLOCK, x.length); i++) {
            assert.ok(Math.abs(x[i]! - y[i]!) <= (step + 1e-6) * largest, `${dtype} ${x[i]} ${y[i]}`);
          }
        }
      },
    ),
    { numRuns: 20 },
  );
});

Deno.test("quantize() leaves T5's tables of distances inside its blocks as they are", () => {
  const backend = reference();
  const t5 = tinyT5(backend, 1, { width: 32, inner: 32, headDim: 16 });
  const small = quantize(t5, { dtype: "q8_0", embeddings: "q8_0" });
  const dtypes = new Map(weightLeaves(small.weights).map(([path, leaf]) => [path, leaf.dtype]));
  assert.equal(dtypes.get("shared.weight"), "q8_0");
  assert.equal(dtypes.get("encoder.block.1.layer.1.DenseReluDense.wo.weight"), "q8_0");
  const distances = [...dtypes].filter(([path]) => path.endsWith("relative_attention_bias.weight"));
  assert.deepEqual(distances.map(([, dtype]) => dtype), ["f32", "f32"]);
  small.dispose();
  t5.dispose();
});
