/** Golden lives of methods that prepare the base (tests/oracles/prepared_lora.py), and of LoRA under other names. */
import assert from "node:assert/strict";
import { adapt, chooseTargets, dispose, forward, graft, memory, type Method } from "../../core/mod.ts";
import { type Model, read, sizesOf } from "../../core/mod.ts";
import type { Prepared, PreparedOptions } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose } from "./assert.ts";
import { ALL_BACKENDS, withBackend } from "./backends.ts";
import { assertGoldenLife, type Life } from "./golden_life.ts";
import { goldenBase, goldenBatch } from "./golden_method.ts";
import { methodLaws } from "./method_laws.ts";

/** Options of all cases. */
export const GOLDEN_LORA = { rank: 3, alpha: 5, targets: ["q_proj", "v_proj", "down_proj"] } as const;

/** Logits of the golden batch. */
export async function goldenLogits(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, goldenBatch());
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** Registers the tests of a case. */
export function preparedLives(
  golden: string,
  prepare: (model: Model) => Promise<Prepared<Model>>,
  life: Life = {},
): void {
  for (const name of ALL_BACKENDS) {
    Deno.test(`${golden} lives as the oracle's does (${name})`, () =>
      withBackend(name, async (backend) => {
        const model = await goldenBase(backend);
        const prepared = await prepare(model);
        await assertGoldenLife(golden, prepared.model, prepared.adapter, backend, life);
        // The base's change as an adapter of the original model does what the changed base does.
        assertClose(
          await goldenLogits(graft(graft(model, prepared.base), prepared.adapter)),
          await goldenLogits(graft(prepared.model, prepared.adapter)),
          1e-5,
        );
        prepared.dispose();
        model.dispose();
        assert.equal(memory(backend).live, 0);
      }));
  }
}

const UNCHANGED: readonly PreparedOptions[] = [
  { rank: 2, targets: "all-linear" },
  { rank: 4, alpha: 1, scaling: "rankStabilized", rankPattern: { q_proj: 1 }, key: 7 },
  { rank: 2, targets: ["embed_tokens", "lm_head"] },
];

/** Registers a test: base and adapter together are the model that was prepared. */
export function leavesFunction(
  title: string,
  prepare: (model: Model, options: PreparedOptions) => Promise<Prepared<Model>>,
): void {
  Deno.test(`${title} leaves the function as it is`, async () => {
    const model = await goldenBase(reference());
    const before = memory(model.backend).live;
    for (const given of UNCHANGED) {
      const prepared = await prepare(model, given);
      assertClose(
        await goldenLogits(graft(prepared.model, prepared.adapter)),
        await goldenLogits(model),
        1e-5,
      );
      assert.notDeepEqual(await goldenLogits(prepared.model), await goldenLogits(model));
      prepared.dispose();
    }
    assert.equal(memory(model.backend).live, before);
    model.dispose();
  });
}

/** Registers the tests of LoRA under another name: a golden life of PEFT's, and the laws. */
export function loraByAnotherName(
  factory: string,
  golden: string,
  method: Method,
  lawful: Method,
): void {
  for (const name of ALL_BACKENDS) {
    Deno.test(`${golden} lives as PEFT's does (${name})`, () =>
      withBackend(name, async (backend) => {
        const model = await goldenBase(backend);
        const fresh = adapt(model, method);
        await assertGoldenLife(golden, model, fresh, backend, { init: Infinity });
        dispose(fresh.params);
        model.dispose();
      }));
  }
  methodLaws(`${factory}()`, {
    method: () => ({ method: lawful }),
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
