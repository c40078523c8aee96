/** Counting: what is added, trained, changed and stored are four numbers. */
import assert from "node:assert/strict";
import { adapt, compose, count, dispose, keep, type Method, type Model } from "../../../core/mod.ts";
import { dora, fullFineTune, ia3, lora, only, pfeiffer, prefixTuning, xlora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

// Llama: 2 layers of width 12, 4 heads of 4, 2 kv heads, inner 10; 11 tokens, head apart. By hand:
// each layer has 12·16 + 2·12·8 + 16·12 + 3·12·10 + 2·12 = 960; 2 · 960 + 12 + 2 · 11 · 12 = 2196.
const LLAMA = 2196;
// GPT-2: 3 heads of 4, inner 14, 32 positions, tied head. Each layer has 12·36 + 36 + 12·12 + 12 + 12·14 + 14 + 14·12 + 12 + 4·12
// = 1034; 2 · 1034 + 24 + 11 · 12 + 32 · 12 = 2608.
const GPT2 = 2608;

function counted(
  tiny: (backend: ReturnType<typeof reference>, key: number) => Model,
  method: Method,
): object {
  const model = tiny(reference(), 1);
  const { params } = adapt(model, method);
  const result = count(model, { method, params });
  dispose(params);
  model.dispose();
  return result;
}

Deno.test("count() by hand, on a Llama", () =>
  assertNoLeak(() => {
    const of = (method: Method) => counted(tinyLlama, method);
    assert.deepEqual(of(compose({})), { base: LLAMA, added: 0, trainable: 0, changed: 0, stored: 0 });
    assert.deepEqual(of(fullFineTune()), {
      base: LLAMA,
      added: 0,
      trainable: LLAMA,
      changed: LLAMA,
      stored: LLAMA,
    });
    assert.deepEqual(of(only({ parameters: ["model.norm.weight"] })), {
      base: LLAMA,
      added: 0,
      trainable: 12,
      changed: 12,
      stored: 12,
    });
    // q: 2 (12 + 16), v: 2 (12 + 8), twice; they change 12 · 16 + 12 · 8, twice.
    assert.deepEqual(of(lora({ rank: 2 })), {
      base: LLAMA,
      added: 192,
      trainable: 192,
      changed: 576,
      stored: 192,
    });
    assert.deepEqual(of(dora({ rank: 2 })), {
      base: LLAMA,
      added: 240,
      trainable: 240,
      changed: 576,
      stored: 240,
    });
    // k, v: 8 each; down: 10, twice; they change 2 · 12 · 8 + 10 · 12, twice.
    assert.deepEqual(of(ia3()), { base: LLAMA, added: 52, trainable: 52, changed: 624, stored: 52 });
    // r = 3: 2 (2 · 3 · 12 + 3 + 12)
    assert.deepEqual(of(pfeiffer({ reduction: 4 })), {
      base: LLAMA,
      added: 174,
      trainable: 174,
      changed: 0,
      stored: 174,
    });
    // 2 layers · 2 · 5 · 2 heads · 4
    assert.deepEqual(of(prefixTuning({ length: 5, network: "none" })), {
      base: LLAMA,
      added: 160,
      trainable: 160,
      changed: 0,
      stored: 160,
    });
  }));

Deno.test("count() takes a tied head and a place that two parts change once", () =>
  assertNoLeak(() => {
    const twice = compose({ a: lora({ rank: 1 }), b: lora({ rank: 1 }) });
    // c_attn is one fused matrix: 1 (12 + 36) for each part and layer.
    assert.deepEqual(counted(tinyGpt2, twice), {
      base: GPT2,
      added: 192,
      trainable: 192,
      changed: 2 * 12 * 36,
      stored: 192,
    });
  }));

Deno.test("count() stores but does not train what is frozen", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const expert = lora({ rank: 2 });
    const roots = [0, 1].map((key) => keep(expert.init({ model, key })));
    const method = xlora({
      experts: {
        a: { method: expert, params: roots[0]!.tree },
        b: { method: expert, params: roots[1]!.tree },
      },
    });
    const params = keep(method.init({ model, key: 0 }));
    const { added, trainable, changed, stored } = count(model, { method, params: params.tree });
    // What a router decides by the token is in no weight.
    assert.deepEqual([added, trainable, changed, stored], [26 + 384, 26, 0, 26 + 384]);
    params.dispose();
    roots.forEach((root) => root.dispose());
    model.dispose();
  }));
