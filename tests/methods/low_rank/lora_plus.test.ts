/** loraPlus(): golden cases. */
import assert from "node:assert/strict";
import { dispose } from "../../../core/mod.ts";
import { loraPlus } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { GOLDEN_LORA, loraByAnotherName } from "../../support/prepared_life.ts";

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
  assert.throws(() => loraPlus({ ratio: 0 }), /option "ratio" to be a number above 0 but found 0$/);
});

loraByAnotherName("loraPlus", "lora_plus", loraPlus(GOLDEN_LORA), loraPlus({ rank: 2 }));
