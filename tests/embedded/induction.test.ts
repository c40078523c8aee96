/** A model that starts with induction heads copies before it is trained; from noise alone it does not. */
import assert from "node:assert/strict";
import { adapt, forward, graft, type Model, type ModelConfig, read, reference } from "../../mod.ts";
import { copyingStart } from "../../embedded/induction.ts";
import { CONFIG } from "../../embedded/pretrain.ts";
import { repeats } from "../../embedded/repeats.ts";
import { fullFineTune } from "../../methods/selective/full_fine_tune.ts";
import { freshModel } from "../../models/fresh.ts";
import { key } from "../../tensor/key.ts";

const SMALL: ModelConfig = { ...CONFIG, vocab_size: 256, num_hidden_layers: 2, intermediate_size: 16 };

/** Of the labelled tokens of some repeats, the share that is the likeliest. */
async function copied(model: Model): Promise<number> {
  const hits: boolean[] = [];
  for (const seed of [1, 2, 3, 4]) {
    const { inputIds, labels } = repeats(key(seed), { from: 4, to: 256 }, 48);
    const logits = await read(forward(model, { inputIds: [[...inputIds]] }).logits);
    labels.slice(1).forEach((label, i) => {
      const scores = logits.subarray(i * 256, (i + 1) * 256);
      if (label !== -100) hits.push(scores.indexOf(Math.max(...scores)) === label);
    });
  }
  return hits.filter(Boolean).length / hits.length;
}

Deno.test("copyingStart() copies strings of random tokens, and noise does not", async () => {
  const model = freshModel(SMALL, { backend: reference(), key: 3 });
  const fresh = adapt(model, fullFineTune());
  const params = await copyingStart(fresh.params, SMALL, key(4));
  assert.ok(await copied(graft(model, { ...fresh, params })) > 0.6);
  assert.ok(await copied(model) < 0.1);
});
