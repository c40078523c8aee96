/** What PiSSA, OLoRA and LoftQ share: matrices as they are stored, quantized bases, and backends without factorisations. */
import assert from "node:assert/strict";
import {
  bytesOf,
  graft,
  leaves,
  lookup,
  memory,
  quantize,
  read,
  type Tensor,
  weightLeaves,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { loftq, olora, pissa } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { GOLDEN_LORA, goldenLogits } from "../../support/prepared_life.ts";

Deno.test("loftq() and QPiSSA code a matrix as it is stored, also where that is [in, out]", async () => {
  const model = await loadModel(`${GOLDEN}peft_folders/bases/gpt2`, { backend: reference() });
  const targets = ["c_attn", "c_fc", "wte"];
  const quantized = quantize(model, { dtype: "nf4", targets });
  const one = await loftq(model, { rank: 2, targets });
  const two = await pissa(model, { rank: 2, targets, quantize: { dtype: "nf4_double" } });
  for (const [path, t] of weightLeaves(one.model.weights).filter(([, t]) => t.dtype === "nf4")) {
    // The first step of LoftQ quantizes the weights themselves.
    assert.deepEqual(await bytesOf(t), await bytesOf(lookup(quantized.weights, path) as Tensor), path);
  }
  for (const { model: changed, adapter } of [one, two]) {
    const [base, adapted] = [await goldenLogits(model), await goldenLogits(graft(changed, adapter))];
    const [distance, alone] = [adapted, await goldenLogits(changed)]
      .map((logits) => Math.hypot(...logits.map((x, i) => x - base[i]!)));
    assert.ok(distance! < alone!, `${distance} against ${alone}`);
  }
  for (const each of [one, two, quantized, model]) each.dispose();
});

Deno.test("pissa() and olora() on a quantized base keep its function", async () => {
  const base = await goldenBase(reference());
  const model = quantize(base, { dtype: "nf4" });
  for (const prepare of [pissa, olora]) {
    const prepared = await prepare(model, { rank: 2, targets: "all-linear" });
    assertClose(await goldenLogits(graft(prepared.model, prepared.adapter)), await goldenLogits(model), 1e-5);
    prepared.dispose();
  }
  model.dispose();
  base.dispose();
});

Deno.test("pissa(), olora() and loftq() read, compute and upload where a backend has no factorisations", async () => {
  const { svd: _, qr: __, orderStatistic: ___, ...backend } = reference();
  const [bare, model] = [await goldenBase(backend), await goldenBase(reference())];
  for (const prepare of [pissa, olora, loftq]) {
    const [found, wanted] = [await prepare(bare, GOLDEN_LORA), await prepare(model, GOLDEN_LORA)];
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
