/** kasa(): the laws of methods, golden cases of PEFT (tests/oracles/kasa.py) and what is refused. */
import assert from "node:assert/strict";
import { adapt, type Adapter, dispose, leaves, memory, read } from "../../../core/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { preparing } from "../../support/preparing.ts";
import { tinyLlama } from "../../support/tiny_models.ts";
import { kasa } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods, goldenStarts } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";

laws("kasa()", kasa({ ...ALL, rank: 3, alpha: 5, dropout: 0.2 }), each(ALL, (i, o) => 3 * (i + o + 1)), {
  atInit: "other",
  decomposes: true,
});
laws(
  "kasa() with a rank for each layer",
  kasa({ rank: 2, rankPattern: { q_proj: 4 }, gamma: 0 }),
  () => ({}) as never,
  {
    atInit: "other",
    decomposes: true,
    models: [tinyLlama], // a GPT-2 has no q_proj of its own
  },
);

const CASES = { kasa: kasa({ rank: 3, alpha: 5, targets: TARGETS, beta: 0.01, gamma: 0.02 }) };
goldenMethods(CASES, { fresh: (backend) => backend !== "gpu" });
goldenStarts(CASES, 1e-5); // PEFT rounds the truncated base to f32

misfits("kasa()", [
  [() => kasa({ beta: -1 }), /^Expected kasa's option "beta" to be a number of at least 0 but found -1$/],
  [() => kasa({ rank: 16, targets: ["q_proj"] }), /^Cannot take 16 singular values from ".*q_proj" \[/],
]);

Deno.test("kasa is prepared as it starts, and nothing else is left", async () => {
  const model = tinyLlama(reference(), 1);
  const before = memory(model.backend).live;
  const { adapter } = await kasa.definition.prepare!(preparing(model, { rank: 2 }));
  const fresh = adapt(model, kasa({ rank: 2 }), 0);
  const numbers = ({ params }: Adapter) =>
    Promise.all(leaves(params).map(async ([path, t]) => [path, await read(t)] as const));
  assert.deepEqual(await numbers(adapter), await numbers(fresh));
  dispose([adapter.params, fresh.params]);
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});
