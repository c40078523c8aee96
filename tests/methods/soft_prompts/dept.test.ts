/**
 * dept(): the laws of methods, golden cases of its equation (tests/oracles/dept.py) on a decoder and an encoder, texts it writes, its
 * two rates, the paper's count and what is refused.
 */
import assert from "node:assert/strict";
import {
  type Batch,
  forward,
  generateIds,
  graft,
  leaves,
  lossAndGrad,
  type Method,
  read,
  type Tree,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { dept } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions } from "../../support/bad_options.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { goldenCase } from "../../support/golden_case.ts";
import { assertGradients, goldenParams, onGolden } from "../../support/golden_method.ts";
import { added, just, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { T5_BASE } from "../../support/published_shapes.ts";

const of = (options: Parameters<typeof dept>[0]): Method => dept(options) as unknown as Method;

methodLaws("dept()", {
  method: just(of({ length: 3, maxLength: 4, rank: 2 })),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * WIDTH + 2 * (4 + WIDTH)), // n d + r (s + d)
});
methodLaws("dept() from the vocabulary, over more tokens than a text has", {
  method: just(of({ length: 1, maxLength: 20, rank: 5, alpha: 1, start: { from: "vocabulary" } })),
  atInit: "other",
  merges: "no",
  counts: () => added(WIDTH + 5 * (20 + WIDTH)),
});

const CASE = of({ length: 4, maxLength: 5, rank: 3, alpha: 7 });
goldenCase("dept", { adapter: (params) => ({ method: CASE, params }), merging: "apart" });

Deno.test("dept() writes what the equation writes, texts together and alone, past the last row", () =>
  onGolden("dept", async (model, params) => {
    const prompts = [[5, 9, 31, 2], [7]];
    const expected = goldenNumbers("dept/dept.safetensors");
    const wanted = prompts.map((_, i) => [...expected.get(`generated.${i}`)!]);
    const tuned = graft(model, { method: CASE, params });
    // Together they are padded on the left.
    assert.deepEqual(await generateIds(tuned, prompts, { maxNewTokens: 8, eos: [] }), wanted);
    for (const [i, prompt] of prompts.entries()) {
      assert.deepEqual(await generateIds(tuned, prompt, { maxNewTokens: 8, eos: [] }), wanted[i]);
    }
  }));

for (const name of ["reference", "wasm"] as const) {
  Deno.test(`dept() changes an encoder's text alone (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await loadModel(`${GOLDEN}encoders/t5`, { backend });
        const batch: Batch = JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/t5/case.json`));
        const params = goldenParams("dept_t5", backend);
        const adapter = { method: CASE, params: params.tree as Tree };
        const expected = goldenNumbers("dept/dept_t5.safetensors");
        const { logits } = forward(graft(model, adapter), batch);
        assertClose(await read(logits), expected.get("logits")!, 1e-5, "logits");
        logits.storage.free();
        const { loss, grads } = await lossAndGrad(model, adapter, batch);
        assertClose([loss], expected.get("loss")!, 1e-5, "loss");
        await assertGradients("dept_t5", grads, 1e-4);
        for (const [, t] of leaves(grads)) t.storage.free();
        params.dispose();
        model.dispose();
      })));
}

Deno.test("dept()'s low-rank pair learns at a rate of its own, whatever the prompt's is", () =>
  onGolden("dept", (model, params) => {
    const rates = (learningRate: number) => {
      const rate = dept({ lowRankRate: 0.002 }).rates!({
        params: params as never,
        spec: model.spec,
        learningRate,
      });
      return ["rows", "a", "b"].map((path) => rate(path) * learningRate);
    };
    assertClose(rates(0.3), [0.3, 0.002, 0.002], 1e-12);
    assertClose(rates(0.01), [0.01, 0.002, 0.002], 1e-12);
    return Promise.resolve();
  }));

// "Without changing trainable parameter sizes": as prompt tuning of 100 rows.
publishedCount("dept() of 40 rows and rank 45 over 256 tokens has 76,800 numbers on T5-base", () => {
  assert.equal(trainableOf(T5_BASE, of({})), 76_800);
  assert.equal(trainableOf(T5_BASE, of({ length: 60, rank: 30 })), 60 * 768 + 30 * (256 + 768));
});

badOptions("dept()", [
  [() => dept({ length: 0 }), /^Expected dept's option "length" to be a positive integer.* but found 0$/],
  [
    () => dept({ maxLength: 1.5 }),
    /^Expected dept's option "maxLength" to be a positive integer.* but found 1.5$/,
  ],
  [
    () => dept({ lowRankRate: 0 }),
    /^Expected dept's option "lowRankRate" to be a number above 0 but found 0$/,
  ],
]);
