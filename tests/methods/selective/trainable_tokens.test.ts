/** Trainable tokens obey the laws of methods; only the chosen rows move. */
import assert from "node:assert/strict";
import { trainableTokens, type TrainableTokensOptions } from "../../../mod.ts";
import {
  type Batch,
  forward,
  graft,
  leaves,
  lookup,
  merge,
  quantize,
  read,
  type Tensor,
} from "../../../core/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

/** Puts trained tokens in front of every row: one that reads none of them cannot show what they do. */
function reading(tokens: readonly number[]): (batch: Batch) => Batch {
  return (batch) => ({
    ...batch,
    inputIds: batch.inputIds.map((row) => row.map((id, i) => tokens[i] ?? id)),
  });
}

methodLaws("trainableTokens() on all token embeddings", {
  method: () => ({ method: trainableTokens({ tokens: [7, 0, 3] }) }),
  atInit: "base",
  merges: "only",
  counts: () => ({ added: 0, trainable: 3 * 12, stored: 3 * 12, changed: 3 * 12 }), // n rows of width 12
  batch: reading([7, 0, 3]),
});

methodLaws("trainableTokens() on embedding and head by name", {
  method: () => ({ method: trainableTokens({ tokens: { embed_tokens: [1, 2], lm_head: [10] } }) }),
  atInit: "base",
  merges: "only",
  models: [(backend, key) => tinyLlama(backend, key)],
  counts: () => ({ added: 0, trainable: 3 * 12, changed: 3 * 12 }),
  batch: reading([1, 2]),
});

methodLaws("trainableTokens() on a tied head alone", {
  method: () => ({ method: trainableTokens({ tokens: { lm_head: [10, 4] } }) }),
  atInit: "base",
  merges: "only",
  models: [(backend, key) => tinyGpt2(backend, key)],
  counts: () => ({ added: 2 * 12, trainable: 2 * 12, changed: 0 }), // the head has no rows of its own
});

Deno.test("trainableTokens() changes its rows and no other", async () => {
  await assertNoLeak(async () => {
    const backend = reference();
    const model = tinyLlama(backend, 1);
    const method = trainableTokens({ tokens: [4, 9] });
    const made = method.init({ model, key: 0 });
    const before = await read(lookup(model.weights, "model.embed_tokens.weight") as Tensor);
    const rows = new Float32Array(24).map((_, i) => 100 + i);
    const [[, own]] = leaves(made) as [readonly [string, Tensor]];
    backend.upload(own.raw, new Uint8Array(rows.buffer));
    const merged = merge(model, { method, params: made });
    const after = await read(lookup(merged.weights, "model.embed_tokens.weight") as Tensor);
    const expected = before.slice();
    expected.set(rows.subarray(0, 12), 4 * 12);
    expected.set(rows.subarray(12), 9 * 12);
    assert.deepEqual(after, expected);
    merged.dispose();
    own.storage.free();
    model.dispose();
  });
});

for (const name of ALL_BACKENDS) {
  Deno.test(`trainableTokens() works over a table in bfloat16 on ${name}`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const wide = tinyLlama(backend, 1);
        const model = quantize(wide, { dtype: "f32", embeddings: "bf16" });
        const method = trainableTokens({ tokens: [4] });
        const params = method.init({ model, key: 0 });
        const batch = { inputIds: [[4, 1, 2]] };
        const [bare, tuned] = [model, graft(model, { method, params })].map((m) => forward(m, batch).logits);
        assert.deepEqual(await read(tuned!), await read(bare!));
        for (const t of [bare!, tuned!, ...leaves(params).map(([, t]) => t)]) t.storage.free();
        model.dispose();
        wide.dispose();
      })));
}

Deno.test("trainableTokens() refuses ids that are no rows, and other rows of a tied head than of its embedding", () => {
  const [untied, tied] = [tinyLlama(reference(), 0), tinyGpt2(reference(), 0)];
  assert.throws(() => trainableTokens({ tokens: [] }), /option "tokens" to have at least one token id/);
  assert.throws(
    () => trainableTokens({} as TrainableTokensOptions),
    /needs its option "tokens": ids of the rows/,
  );
  assert.throws(() => trainableTokens({ tokens: [1, 2, 1] }), /once but found 1 again/);
  assert.throws(
    () => trainableTokens({ tokens: { wte: [-1] } }),
    /option "tokens" to be a list, each a non-negative integer.* but found \{"wte":\[-1\]\}$/,
  );
  assert.throws(
    () => trainableTokens({ tokens: [11] }).init({ model: untied, key: 0 }),
    /below 11 .* found 11/,
  );
  assert.throws(
    () => trainableTokens({ tokens: { shared: [1] } }).init({ model: untied, key: 0 }),
    /"shared" matches no table .* model\.embed_tokens, lm_head/,
  );
  assert.throws(
    () => trainableTokens({ tokens: { wte: [1], lm_head: [1, 2] } }).init({ model: tied, key: 0 }),
    /other rows of "lm_head" than of "transformer\.wte"/,
  );
  untied.dispose();
  tied.dispose();
});

misfits("trainableTokens()", [
  [
    () => trainableTokens({ tokens: { embed_tokens: [1], "model.embed_tokens": [2] } }),
    /^Expected names of tokens to match "model\.embed_tokens" once but two of them do$/,
  ],
]);
