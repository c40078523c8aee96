/** Fixed weights stand in the place of the model's own, and nothing of them trains. */
import assert from "node:assert/strict";
import {
  count,
  forward,
  graft,
  keep,
  key,
  leaves,
  merge,
  type Model,
  nest,
  read,
  scope,
  setLeaves,
  type Synchronous,
  trainable,
  type Tree,
} from "../../../core/mod.ts";
import { fixedWeights } from "../../../methods/mod.ts";
import { normal } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

Deno.test("fixedWeights() stands in the place of the model's weight, grafted and merged, and trains nothing", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const model = tinyLlama(backend, 1);
    const path = "model.embed_tokens.weight"; // [11, 12]
    const table = keep(scope(() => normal(key(3), [11, 12], backend)));
    const params = nest([[`frozen.${path}`, table.tree]]) as Tree;
    const adapter = { method: fixedWeights({ parameters: [path] }), params };
    const logits = async (model: Model): Promise<Float32Array> => {
      const { logits } = scope((): Synchronous<ReturnType<typeof forward>> =>
        forward(model, { inputIds: [[1, 2, 3]] }) as Synchronous<ReturnType<typeof forward>>
      );
      const numbers = await read(logits);
      logits.storage.free();
      return numbers;
    };
    const expected = await logits({ ...model, weights: setLeaves(model.weights, [[path, table.tree]]) });
    assert.notDeepEqual(expected, await logits(model));
    assert.deepEqual(await logits(graft(model, adapter)), expected);
    const merged = merge(model, adapter);
    assert.deepEqual(await logits(merged), expected);
    merged.dispose();
    assert.deepEqual(leaves(trainable(params)), []);
    assert.equal(count(model, adapter).trainable, 0);
    assert.deepEqual(adapter.method.init({ model, key: 0 }), {});
    table.dispose();
    model.dispose();
  }));
