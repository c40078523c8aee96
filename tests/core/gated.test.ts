/** Gates on prefixes: one value for a batch stands for each of its texts, and what belongs to no token is refused. */
import assert from "node:assert/strict";
import { adapt, dispose, forward, type Gate, gated, graft, lossAndGrad, read } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { prefixTuning } from "../../methods/mod.ts";
import { ones, reshape } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";

/** 1, of a shape. */
const constant = (shape: (b: number, t: number) => readonly number[]): Gate => ({
  name: "constant",
  config: {},
  init: (_, __, backend) => ({ one: ones([1], backend) }),
  value: (params, x) => {
    const of = shape(x.shape[0]!, x.shape[1]!);
    return of.every((n) => n === 1)
      ? reshape(params["one"] as Parameters<typeof reshape>[0], of)
      : ones(of, x.backend);
  },
});

Deno.test("gated() takes a gate of one value for a batch of several texts, on a prefix", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_tiny/base`, { backend: reference() });
    const inputIds = [[5, 9, 31], [36, 1, 7]];
    const plain = adapt(model, prefixTuning({ length: 2, network: "none" }), 3);
    const method = gated(prefixTuning({ length: 2, network: "none" }), constant(() => [1, 1, 1]));
    const fresh = adapt(model, method);
    const params = { of: plain.params, gates: fresh.params.gates };
    const [one, other] = [graft(model, plain), graft(model, { method, params })].map((m) =>
      forward(m, { inputIds }).logits
    );
    assertClose([...await read(other!)], [...await read(one!)], 1e-6, "at 1 the gate is not there");
    dispose([one!, other!]);
    const { grads } = await lossAndGrad(model, { method, params }, { inputIds, labels: inputIds });
    dispose(grads);
    dispose([plain.params, fresh.params]);
    model.dispose();
  }));

Deno.test("gated() refuses a gate with a value a token on a prefix, and names the place", async () => {
  const model = await loadModel(`${GOLDEN}llama_tiny/base`, { backend: reference() });
  const method = gated(prefixTuning({ length: 2, network: "none" }), constant((b, t) => [b, t, 1]));
  const adapter = adapt(model, method);
  assert.throws(
    () => forward(graft(model, adapter), { inputIds: [[5, 9, 31], [36, 1, 7]] }),
    /prefix at "model\.layers\.0\.self_attn" by \[2,3,1\]/,
  );
  dispose(adapter.params);
  model.dispose();
});
