/** toLora() holds updates exactly at full rank, within an error bound with less, and brings waste down. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  count,
  dispose,
  forward,
  graft,
  leaves,
  memory,
  read,
} from "../../../core/mod.ts";
import { adalora, dora, ia3, loha, lokr, lora, toLora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { trainedAdapter } from "../../support/lowers_loss.ts";
import { goldenLogits } from "../../support/prepared_life.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const METHODS: Readonly<Record<string, Adapter["method"]>> = {
  lora: lora({ rank: 2, targets: "all-linear" }),
  "lora on the embedding and the head": lora({ rank: 2, targets: ["embed_tokens", "lm_head"] }),
  adalora: adalora({ rank: 3, targetRank: 2 }),
  dora: dora({ rank: 2 }),
  loha: loha({ rank: 2 }),
  lokr: lokr({ rank: 2 }),
  ia3: ia3(),
};
for (const [name, method] of Object.entries(METHODS)) {
  Deno.test(`toLora() holds ${name} exactly at full rank, and within an error bound with less`, async () => {
    const model = await goldenBase(reference());
    const adapter = trainedAdapter(model, method, 3);
    const wanted = await goldenLogits(graft(model, adapter));
    const before = memory(model.backend).live;
    const full = await toLora(model, adapter, { rank: 64 });
    assertClose(await goldenLogits(graft(model, full.adapter)), wanted, 1e-5, "full rank");
    assert.ok(full.error < 1e-6);
    const near = await toLora(model, adapter, { error: 0.75 });
    for (const [path, error] of Object.entries(near.errors)) assert.ok(error <= 0.75, `${path}: ${error}`);
    const size = ({ adapter }: { adapter: Adapter }) =>
      leaves(adapter.params).reduce((n, [, t]) => n + t.size, 0);
    assert.ok(size(near) < size(full));
    const one = await toLora(model, adapter, { rank: 1 });
    assert.ok(one.error > near.error || size(one) >= size(near));
    dispose([full.adapter.params, near.adapter.params, one.adapter.params]);
    assert.equal(memory(model.backend).live, before);
    dispose(adapter.params);
    model.dispose();
  });
}

Deno.test("toLora() of an adapter of no update is zero", async () => {
  const model = await goldenBase(reference());
  const adapter = adapt(model, lora({ rank: 2 }));
  const { adapter: same, error } = await toLora(model, adapter, { error: 0.1 });
  assert.equal(error, 0);
  assert.deepEqual(await goldenLogits(graft(model, same)), await goldenLogits(model));
  dispose([adapter.params, same.params]);
  model.dispose();
});

Deno.test("a rank over a matrix's smaller size is waste, not an error: toLora brings it down", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const adapter = adapt(model, lora({ rank: 50, targets: ["q_proj"], initialization: "none" })); // [16, 12]
    assert.equal(count(model, adapter).trainable, 2 * 50 * (16 + 12));
    const { adapter: small, error } = await toLora(model, adapter, { error: 0 });
    assert.deepEqual(leaves(small.params).map(([, t]) => t.shape), [[12, 12], [16, 12], [12, 12], [16, 12]]);
    assert.ok(error < 1e-6);
    const logits = async (which: Adapter): Promise<Float32Array> => {
      const { logits } = forward(graft(model, which), { inputIds: [[1, 2, 3]] });
      const numbers = await read(logits);
      dispose(logits);
      return numbers;
    };
    assertClose(await logits(small), await logits(adapter), 1e-5, "logits");
    dispose([small.params, adapter.params]);
    model.dispose();
  }));
