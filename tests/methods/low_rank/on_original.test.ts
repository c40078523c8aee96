/** onOriginal() moves adapters of prepared bases onto the original base. */
import assert from "node:assert/strict";
import { dispose, graft, leaves, memory, merge } from "../../../core/mod.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { loftq, olora, onOriginal, pissa } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { trainedAdapter } from "../../support/lowers_loss.ts";
import { goldenLogits } from "../../support/prepared_life.ts";

Deno.test("onOriginal() puts PiSSA, OLoRA and LoftQ on the base that everyone has", async () => {
  const model = await goldenBase(reference());
  const options = { rank: 2, alpha: 3, targets: ["q_proj", "down_proj"] } as const;
  for (const [i, prepare] of [pissa, olora, loftq].entries()) {
    const prepared = await prepare(model, options);
    const adapter = trainedAdapter(prepared.model, prepared.adapter.method, 8);
    const before = memory(model.backend).live;
    const { adapter: plain, error } = await onOriginal(model, prepared, adapter);
    const wanted = await goldenLogits(graft(prepared.model, adapter));
    assertClose(await goldenLogits(graft(model, plain)), wanted, 1e-5);
    const ranks = new Set(
      leaves(plain.params).filter(([path]) => path.endsWith(".a")).map(([, t]) => t.shape[0]),
    );
    if (i < 2) assert.deepEqual([...ranks], [4]);
    assert.ok(error < 1e-5);
    const { name } = prepared.adapter.method;
    assert.equal(name, ["pissa", "olora", "loftq"][i]);
    await assert.rejects(saveAdapter("nowhere", prepared.adapter, model), {
      name: "TypeError",
      message: new RegExp(`Cannot save "${name}" .* save what onOriginal makes of it`),
    });
    const merged = merge(model, plain);
    assertClose(await goldenLogits(merged), wanted, 1e-5);
    merged.dispose();
    dispose(plain.params);
    assert.equal(memory(model.backend).live, before);
    dispose(adapter.params);
    prepared.dispose();
  }
  model.dispose();
});
