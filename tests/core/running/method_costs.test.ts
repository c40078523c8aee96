/** What methods cost, against formulas counted by hand: multiply-adds, how far gradients go, storage and optimizer state. */
import assert from "node:assert/strict";
import { compose, type Method, methodCosts, type Model } from "../../../core/mod.ts";
import {
  bitfit,
  diffPruning,
  diffPruningFixed,
  fullFineTune,
  houlsby,
  ia3,
  intrinsicSaid,
  kronaBres,
  ladderSideTuning,
  lora,
  pfeiffer,
  promptTuning,
  topLayers,
  xlora,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

const [WIDTH, HEADS, GROUPS, HEAD, INNER, LAYERS, WORDS] = [12, 4, 2, 4, 10, 2, 11];
const TOKENS = 8;

/** Products of the tiny Llama for a token: q, o, k, v, three of the feed-forward part, attention, head. */
const BASE = LAYERS * (2 * WIDTH * HEADS * HEAD + 2 * WIDTH * GROUPS * HEAD + 3 * WIDTH * INNER +
      2 * TOKENS * HEADS * HEAD) + WIDTH * WORDS;

function onLlama(f: (model: Model) => void): Promise<void> {
  return assertNoLeak(() => {
    const model = tinyLlama(reference(), 0);
    f(model);
    model.dispose();
  });
}

Deno.test("methodCosts() counts the products of the base, and more of a method beside it", () =>
  onLlama((model) => {
    const facts = (method: Method) => methodCosts(model, method, { tokens: TOKENS });
    const low = facts(lora({ rank: 3 }));
    assert.equal(low.multiplyAdds.base, BASE);
    assert.equal(low.multiplyAdds.extra, LAYERS * 3 * (WIDTH + HEADS * HEAD + WIDTH + GROUPS * HEAD));
    assert.equal(facts(houlsby({ reduction: 4 })).multiplyAdds.extra, LAYERS * 2 * 2 * 3 * WIDTH);
    assert.equal(facts(fullFineTune()).multiplyAdds.extra, 0);
    // A prompt of as many rows as the text doubles the linear layers but not the head.
    const prompt = facts(promptTuning({ length: TOKENS }) as unknown as Method);
    const attention = 2 * TOKENS * HEADS * HEAD;
    assert.equal(prompt.multiplyAdds.extra, BASE - WIDTH * WORDS + LAYERS * 2 * attention);
  }));

Deno.test("methodCosts() counts the layers that gradients pass", () =>
  onLlama((model) => {
    const reached = (method: Method) => methodCosts(model, method, { tokens: TOKENS }).backward;
    assert.deepEqual(reached(fullFineTune()), { reached: 14, layers: 14 });
    assert.deepEqual(reached(ladderSideTuning({ reduction: 2 })), { reached: 0, layers: 14 });
    assert.deepEqual(reached(topLayers()), { reached: 7, layers: 14 }); // the last block's, behind its norm
    assert.deepEqual(reached(topLayers({ tied: "trained" })), { reached: 7, layers: 14 }); // nothing is tied here
    // The first block's q, k and v read what nothing has changed yet.
    assert.deepEqual(reached(lora({ rank: 1 })), { reached: 11, layers: 14 });
  }));

Deno.test("methodCosts() tells additive, selective and reparametrised methods apart, and what remains in a pass", () =>
  onLlama((model) => {
    const facts = (method: Method) => {
      const { kinds, merges, overhead } = methodCosts(model, method, { tokens: TOKENS });
      return [kinds.join(""), merges, overhead.join(", ")];
    };
    assert.deepEqual(facts(lora({ rank: 2 })), ["R", true, ""]);
    assert.deepEqual(facts(ia3()), ["A", true, ""]);
    assert.deepEqual(facts(fullFineTune()), ["S", true, ""]);
    assert.deepEqual(facts(bitfit()), ["A", true, ""]); // a Llama has no biases
    assert.deepEqual(facts(diffPruning()), ["S", true, ""]);
    assert.deepEqual(facts(intrinsicSaid({ dimension: 40 })), ["R", true, ""]);
    assert.deepEqual(facts(pfeiffer({ reduction: 4 })), ["A", false, "bottleneck"]);
    assert.deepEqual(facts(kronaBres()), ["A", false, "linear"]);
    assert.deepEqual(facts(promptTuning({ length: 2 }) as unknown as Method), ["A", false, "input"]);
    assert.deepEqual(facts(ladderSideTuning({ reduction: 2 })), ["A", false, "side network"]);
    const both = compose({ lora: lora({ rank: 2 }), adapter: pfeiffer({ reduction: 4 }) }) as Method;
    assert.deepEqual(facts(both), ["AR", false, "bottleneck"]);
    const gpt2 = tinyGpt2(reference(), 0);
    assert.deepEqual(methodCosts(gpt2, bitfit({ missing: "skip" }), { tokens: TOKENS }).kinds, ["S"]);
    gpt2.dispose();
    assert.throws(() => xlora({ experts: {} }), RangeError);
  }));

Deno.test("methodCosts() takes storage from what remains and optimizer state from what trains", () =>
  onLlama((model) => {
    const leaf = { path: "lm_head.weight", shape: [WORDS, WIDTH], indices: Int32Array.of(1, 5, 7) };
    const kept = diffPruningFixed({ mask: { leaves: [leaf], whole: [] } });
    const facts = methodCosts(model, diffPruning({ structure: "none" }), { kept, tokens: TOKENS });
    const size = facts.trained.base;
    assert.equal(facts.trained.trainable, 2 * size);
    assert.equal(facts.optimizer, 2 * 4 * 2 * size);
    assert.deepEqual([facts.kept.trainable, facts.kept.changed, facts.storage], [3, 3, 3 * (4 + 4)]);
  }));
