/**
 * 4-bit checkpoints of 16-bit models as bitsandbytes computes with them (tests/oracles/bitsandbytes_decoded.py): f32 numbers of
 * their codes, as its products have them since 0.50, and numbers rounded to the dtype of their quantization states, as its
 * older versions and `dequantize()` have them. Tolerance: 1e-5 of the largest logit, for f32 sums.
 */
import assert from "node:assert/strict";
import { bytesOf, forward, lookup, type Model, read, type Tensor } from "../../core/mod.ts";
import { bitsandbytesView, bytesSource, encodeSafetensors, openSafetensors } from "../../formats/mod.ts";
import { loadModel, type LoadOptions } from "../../io/load_model.ts";
import { BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";

const INPUT_IDS = [[5, 9, 31, 2, 7, 7, 12], [36, 1, 0, 4, 8, 3, 3]];
const CASES = { fp4_as_f32: "f16", nf4: "f16", nf4_as_bf16: "bf16" } as const;

/** How far a model's logits are from bitsandbytes', as a share of the largest. */
async function distance(model: Model, expected: Float32Array): Promise<number> {
  const { logits } = forward(model, { inputIds: INPUT_IDS });
  const found = await read(logits);
  logits.storage.free();
  assert.equal(found.length, expected.length);
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return found.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0) / largest;
}

for (const backendName of BACKENDS) {
  for (const [name, dtype] of Object.entries(CASES)) {
    Deno.test(`loadModel() gives the logits of bitsandbytes' products, or decodes as it does: ${name}, ${backendName}`, () =>
      withBackend(backendName, async (backend) => {
        const file = openSafetensors(`${GOLDEN}bitsandbytes_decoded/${name}.safetensors`);
        const logitsAt = (key: string) => new Float32Array(file.tensors.get(key)!.read().slice().buffer);
        const [own, rounded] = ["logits", "rounded_logits"].map(logitsAt) as [Float32Array, Float32Array];
        const folder = `${GOLDEN}bitsandbytes_halves/${name}`;
        for (const leaves of [undefined, "lazy"] as const) {
          const load = (options: Pick<LoadOptions, "codes">): Promise<Model> =>
            loadModel(folder, { backend, ...options, ...leaves && { leaves } });
          const quantized = await load({});
          assert.ok(await distance(quantized, own) <= 1e-5);
          assert.ok(await distance(quantized, rounded) > 1e-4);
          quantized.dispose();
          const decoded = await load({ codes: "decoded" });
          for (const [key, expected] of file.tensors) {
            if (key.endsWith("logits")) continue;
            const leaf = lookup(decoded.weights, key) as Tensor;
            assert.equal(leaf.dtype, dtype);
            assert.deepEqual(await bytesOf(leaf), expected.read(), key);
          }
          assert.ok(await distance(decoded, rounded) <= 1e-5);
          decoded.dispose();
        }
        file.close();
      }));
  }
}

Deno.test("bitsandbytesView() refuses a dtype of a quantization state that it does not know", async () => {
  const file = openSafetensors(`${GOLDEN}bitsandbytes_halves/nf4/model.safetensors`);
  const raw = [...file.raw.values()].map((t) => {
    if (!t.name.includes("quant_state")) return t;
    const text = new TextDecoder().decode(t.read()).replace('"float16"', '"float64"');
    return { ...t, read: () => new TextEncoder().encode(text) };
  });
  const bytes = await encodeSafetensors(raw);
  assert.throws(
    () => bitsandbytesView(openSafetensors(bytesSource("x", bytes))),
    /dtype .* but found "float64"/,
  );
  file.close();
});
