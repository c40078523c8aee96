/** Gates on prefixes: one value for a batch stands for each of its texts, and what belongs to no token is refused. */
import assert from "node:assert/strict";
import {
  adapt,
  dispose,
  forward,
  type Gate,
  gated,
  graft,
  lossAndGrad,
  type Method,
  read,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import {
  bitfit,
  fullFineTune,
  houlsby,
  invertibleAdapter,
  ladderSideTuning,
  lora,
  prefixTuning,
  promptTuning,
} from "../../../methods/mod.ts";
import { full, ones, reshape } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";

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
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
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
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
  const method = gated(prefixTuning({ length: 2, network: "none" }), constant((b, t) => [b, t, 1]));
  const adapter = adapt(model, method);
  assert.throws(
    () => forward(graft(model, adapter), { inputIds: [[5, 9, 31], [36, 1, 7]] }),
    /prefix at "model\.layers\.0\.self_attn" by \[2,3,1\]/,
  );
  dispose(adapter.params);
  model.dispose();
});

Deno.test("gated() refuses what sees no input before any parameter is made, and names the place", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    const gate = constant(() => [1, 1, 1]);
    const cases: readonly (readonly [Method, string])[] = [
      [bitfit() as Method, 'weight edit at "model.layers.0.self_attn.q_proj.bias"'],
      [fullFineTune() as Method, 'weight edit at "model.embed_tokens.weight"'],
      [promptTuning({ length: 2 }) as Method, 'prompt edit at "model"'],
    ];
    for (const [method, what] of cases) {
      assert.throws(() => adapt(model, gated(method, gate)), {
        name: "RangeError",
        message: `Cannot gate the ${what}: it does not see the input`,
      });
    }
    model.dispose();
  }));

Deno.test("gated() refuses a value that does not fit what it multiplies, and names the place", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    const run = (method: Method, shape: readonly [number, number, number]) => {
      const adapter = adapt(model, gated(method, constant(() => shape)));
      try {
        return forward(graft(model, adapter), { inputIds: [[5, 9, 31]] });
      } finally {
        dispose(adapter.params);
      }
    };
    const [low, after] = [lora({ rank: 2 }) as Method, houlsby({ reduction: 4 })];
    assert.throws(
      () => run(low, [1, 2, 1]),
      /gate the linear edit at "model\.layers\.0\.self_attn\.q_proj" by \[1,2,1\]/,
    );
    // One text would become two.
    assert.throws(() => run(low, [2, 1, 1]), /q_proj" by \[2,1,1\]: that does not broadcast against \[1,3,/);
    assert.throws(
      () => run(after, [1, 3, 5]),
      /gate the hidden edit at "model\.layers\.0\.self_attn" by \[1,3,5\]/,
    );
    const side = ladderSideTuning({ reduction: 3 });
    assert.throws(() => run(side, [1, 4, 1]), /gate the side edit at "model" by \[1,4,1\]/);
    model.dispose();
  }));

Deno.test("gated() gates an invertible adapter where BERT's tokens enter: at 0 the gate closes it", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}encoders/bert_text`, { backend: reference() });
    const closed: Gate = { ...constant(() => [1, 1, 1]), value: (_, x) => full([1, 1, 1], 0, x.backend) };
    const adapter = adapt(model, gated(invertibleAdapter(), closed));
    const [one, other] = [model, graft(model, adapter)].map((m) =>
      forward(m, { inputIds: [[5, 9, 31]] }).logits
    );
    assertClose([...await read(other!)], [...await read(one!)], 1e-6, "closed");
    dispose([one!, other!, adapter.params]);
    model.dispose();
  }));
