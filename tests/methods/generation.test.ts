/** Generating under edits that touch cache, mask and positions: batches of unequal prompts equal each prompt alone. */
import assert from "node:assert/strict";
import {
  compose,
  forward,
  generateIds,
  graft,
  keep,
  key,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import {
  ladderSideTuning,
  lora,
  prefixTuning,
  promptTuning,
  pTuning,
  withSlots,
  xlora,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { SLOT } from "../support/prompts.ts";
import { noised } from "../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const PROMPTS = [[3, 1, 4, 1], [5], [9, 2, 6]];

async function sameAlone(model: Model, method: Method): Promise<void> {
  const params = keep(scope((): Synchronous<Tree> => noised(method.init({ model, key: 1 }), key(2))));
  const tuned = graft(model, { method, params: params.tree });
  const options = { maxNewTokens: 6, eos: [] };
  const together = await generateIds(tuned, PROMPTS, options);
  for (const [i, prompt] of PROMPTS.entries()) {
    assert.deepEqual(together[i], await generateIds(tuned, prompt, options), `${method.name}, prompt ${i}`);
  }
  params.dispose();
}

async function onTiny(f: (model: Model) => Promise<void>): Promise<void> {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await assertNoLeak(async () => {
      const model = tiny(reference(), 11);
      await f(model);
      model.dispose();
    });
  }
}

Deno.test("generateIds() under prefixes, on positions or off them", () =>
  onTiny(async (model) => {
    const prefix = (positions: "past" | "none") => prefixTuning({ length: 3, network: "none", positions });
    for (const method of [prefix("past"), prefix("none")]) await sameAlone(model, method);
    await sameAlone(model, compose({ a: prefix("past"), b: prefix("none") }) as Method);
  }));

Deno.test("generateIds() under a side network", () =>
  onTiny((model) => sameAlone(model, ladderSideTuning({ reduction: 2 }))));

Deno.test("generateIds() under X-LoRA, which first runs the bare base", () =>
  onTiny(async (model) => {
    const expert = lora({ rank: 2, initialization: "none" });
    const roots = [0, 1].map((seed) => keep(expert.init({ model, key: seed })));
    const [a, b] = roots.map((root) => ({ method: expert, params: root.tree }));
    await sameAlone(model, xlora({ experts: { a: a!, b: b! }, routes: "layerwise" }));
    roots.forEach((root) => root.dispose());
  }));

Deno.test("generateIds() under a prefix stops where the context ends", () =>
  onTiny(async (model) => {
    const method = prefixTuning({ length: 5, network: "none" });
    const params = keep(method.init({ model, key: 1 }));
    const ids = await generateIds(graft(model, { method, params: params.tree }), [1, 2, 3], {
      maxNewTokens: 100,
      eos: [],
    });
    // 32 positions, 5 of them the prefix's and 3 the prompt's; the last token is not fed again.
    assert.equal(ids.length, 32 - 5 - 3 + 1);
    params.dispose();
  }));

/** With and without a cache, alone and padded on the left among others. */
async function continues(
  model: Model,
  method: Method,
  prompts: readonly (readonly number[])[],
): Promise<void> {
  const params = keep(scope((): Synchronous<Tree> => noised(method.init({ model, key: 1 }), key(2))));
  const tuned = graft(model, { method, params: params.tree });
  const options = { maxNewTokens: 4, eos: [] };
  const together = await generateIds(tuned, prompts, options);
  for (const [i, prompt] of prompts.entries()) {
    assert.deepEqual(together[i], await generateIds(tuned, prompt, options), `${method.name}, prompt ${i}`);
    const ids = [...prompt];
    for (let n = 0; n < 4; n++) {
      // A token of the slot's id that was generated is no slot: without a cache it cannot be told apart.
      const { logits } = forward(tuned, { inputIds: [ids] });
      const scores = await read(logits);
      logits.storage.free();
      const last = scores.subarray(scores.length - 11);
      const best = last.reduce((best, x, id) => x > last[best]! ? id : best, 0);
      assert.equal(together[i]![n], best, `${method.name}, prompt ${i}, token ${n} without a cache`);
      if (best === SLOT) break;
      ids.push(best);
    }
  }
  params.dispose();
}

Deno.test("generateIds() under prompts before and inside the text agrees with whole passes", async () => {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await assertNoLeak(async () => {
      const model = tiny(reference(), 11);
      await continues(model, promptTuning({ length: 3 }) as Method, [[3, 1, 4, 1], [5], [9, 2, 6]]);
      const texts = [[3, 1], [5], [2, 6, 4]].map((text) => withSlots([1, text, 2], SLOT));
      await continues(
        model,
        pTuning({ length: 3, where: { token: SLOT }, encoder: { kind: "mlp" } }) as Method,
        texts,
      );
      const both = compose({
        front: promptTuning({ length: 2 }) as Method,
        slots: promptTuning({ length: 3, where: { token: SLOT } }) as Method,
        lora: lora({ rank: 2, initialization: "none" }) as Method,
      }) as Method;
      await continues(model, both, texts);
      model.dispose();
    });
  }
});
