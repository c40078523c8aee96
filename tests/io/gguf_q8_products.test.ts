/**
 * Models whose inputs are rounded as llama.cpp rounds them, beside llama.cpp (tests/oracles/rounded_inputs.py). Tolerance 1e-5
 * of the largest logit: f32 sums in another order. Without the rounding the logits are a hundredth off.
 */
import assert from "node:assert/strict";
import { forward, generateIds, type Model, read } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { isNativeBuilt } from "../../ops/native/mod.ts";
import { withBackend } from "../support/backends.ts";
import { assertClose } from "../support/assert.ts";
import { roundedInputs } from "../support/rounded_inputs.ts";
import { GOLDEN } from "../support/golden.ts";
import { tinyLlama } from "../support/tiny_models.ts";

interface Row {
  readonly ids: readonly number[];
  /** Logits after the prompt. */
  readonly last: readonly number[];
  /** Greedy tokens. */
  readonly made: readonly number[];
}

const EXPECTED: Readonly<Record<string, readonly Row[]>> = JSON.parse(
  Deno.readTextFileSync(`${GOLDEN}rounded_inputs/expected.json`),
);

async function lastLogits(model: Model, ids: readonly number[], roundInputs = false): Promise<Float32Array> {
  const { logits } = forward(model, { inputIds: [ids] }, { roundInputs });
  const numbers = await read(logits);
  logits.storage.free();
  return numbers.subarray(numbers.length - logits.shape[2]!);
}

for (const backend of ["reference", "wasm"] as const) {
  for (const [name, rows] of Object.entries(EXPECTED)) {
    Deno.test(`roundedInputs() gives llama.cpp's logits and greedy tokens: ${name} on ${backend}`, () =>
      withBackend(backend, async (backend) => {
        const model = await loadModel(`${GOLDEN}rounded_inputs/${name}.gguf`, { backend });
        const rounded = roundedInputs(model);
        for (const { ids, last, made } of rows) {
          assertClose(await lastLogits(rounded, ids), last, 1e-5, name);
          const [tokens] = await generateIds(rounded, [ids], { maxNewTokens: made.length });
          assert.deepEqual(tokens, made);
        }
        const plain = await lastLogits(model, rows[0]!.ids);
        assert.throws(() => assertClose(plain, rows[0]!.last, 1e-5, name), "the rounding shows");
        model.dispose();
      }));
  }
}

for (const backend of ["reference", "wasm", "native"] as const) {
  for (const [name, rows] of Object.entries(EXPECTED)) {
    Deno.test({
      name: `roundInputs gives llama.cpp's logits and greedy tokens: ${name} on ${backend}`,
      ignore: backend === "native" && !isNativeBuilt(),
      fn: () =>
        withBackend(backend, async (backend) => {
          const model = await loadModel(`${GOLDEN}rounded_inputs/${name}.gguf`, { backend });
          for (const { ids, last, made } of rows) {
            assertClose(await lastLogits(model, ids, true), last, 1e-5, name);
            const options = { maxNewTokens: made.length, roundInputs: true };
            assert.deepEqual(await generateIds(model, ids, options), made);
          }
          model.dispose();
        }),
    });
  }
}

Deno.test("roundedInputs() leaves other matrices alone, and has no weight form", async () => {
  await withBackend("reference", async (backend) => {
    const model = tinyLlama(backend, 1);
    assert.deepEqual(await lastLogits(roundedInputs(model), [1, 2]), await lastLogits(model, [1, 2]));
    model.dispose();
  });
});
