/** An adapter of another model is refused with the place at which it does not fit, never by an error of the language. */
import assert from "node:assert/strict";
import { publishedMethods } from "../../../tuning/published.ts";
import {
  adapt,
  type Adapter,
  at,
  dispose,
  forward,
  graft,
  layers,
  leaves,
  merge,
  type Method,
  type Model,
  narrow,
  scope,
} from "../../../core/mod.ts";
import { houlsby, ia3, layerNormTune, lora, prefixTuning } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { tinyGpt2, tinyLlama, tinyT5 } from "../../support/tiny_models.ts";

/** What an attempt says, or "" where it succeeds. */
function said(attempt: () => unknown): string {
  try {
    attempt();
    return "";
  } catch (error) {
    return String(error);
  }
}

function run(model: Model, adapter: Adapter): void {
  scope(() => {
    forward(graft(model, adapter), { inputIds: [[1, 2, 3]] });
  });
}

Deno.test("every method of the table says what is wrong when its adapter meets another model", () => {
  const backend = reference();
  const model = tinyLlama(backend, 1);
  let refused = 0;
  for (const other of [tinyGpt2(backend, 1), tinyT5(backend, 2), tinyLlama(backend, 3, { width: 16 })]) {
    for (const { name, make } of publishedMethods()) {
      let adapter: Adapter;
      try {
        adapter = adapt(other, make(other));
      } catch {
        continue; // the other model has no place for it
      }
      const attempts = [
        () => graft(model, adapter),
        () => run(model, adapter),
        () => merge(model, adapter).dispose(),
      ];
      for (const words of attempts.map(said)) {
        if (words === "") continue;
        refused++;
        assert.match(words, /^(RangeError: |TypeError: Cannot merge the \w+ edit at ")/, `${name}: ${words}`);
        assert.doesNotMatch(words, /undefined|not a function/, name);
      }
      dispose(adapter.params);
    }
  }
  assert.ok(refused > 300, String(refused));
});

Deno.test("an adapter of a wider model is refused with the place and both sizes", () => {
  const backend = reference();
  const [model, wide] = [tinyLlama(backend, 1), tinyLlama(backend, 2, { width: 20, keyValueHeads: 4 })];
  const saying = (method: unknown, attempt: (adapter: Adapter) => unknown): string => {
    const adapter = adapt(wide, method as Method);
    const words = said(() => attempt(adapter));
    dispose(adapter.params);
    return words;
  };
  const grafted = (adapter: Adapter): void => run(model, adapter);
  const merged = (adapter: Adapter): void => merge(model, adapter).dispose();
  const q = '"model.layers.0.self_attn.q_proj"';
  assert.equal(
    saying(lora(), (adapter) => graft(model, adapter)),
    `RangeError: Cannot graft lora: the adapter has [16, 20] for ${q} but the layer is [16, 12], so it was made for another model`,
  );
  assert.equal(
    saying(lora(), merged),
    `RangeError: Cannot merge the adapter: the adapter has [16, 20] for ${q} but the layer is [16, 12], so it was made for ` +
      "another model",
  );
  assert.match(
    saying(ia3(), grafted),
    /^RangeError: Cannot graft ia3: the adapter has \[16, any\] for "model\.layers\.0\.self_attn\.k_proj" but the layer is \[8, 12\]/,
  );
  for (const attempt of [grafted, merged]) {
    assert.match(
      saying(layerNormTune(), attempt),
      /^RangeError: The adapter has \[20\] for "model\.layers\.0\.input_layernorm\.weight" but the weight is \[12\]/,
    );
  }
  assert.match(
    saying(houlsby({ reduction: 4 }), grafted),
    /^RangeError: Cannot \w+ .*; at "model\.layers\.0\.self_attn"$/,
  );
  assert.match(
    saying(prefixTuning({ length: 2, network: "none" }), grafted),
    /^RangeError: Cannot \w+ .*; at "model\.layers\.0\.self_attn"$/,
  );
});

Deno.test("an adapter of a deeper model is refused by the name of a parameter whose block is not there", () => {
  const backend = reference();
  for (const tiny of [tinyLlama, tinyGpt2, tinyT5]) {
    const [deeper, model] = [tiny(backend, 1, { layers: 3 }), tiny(backend, 1)];
    for (const { name, make } of publishedMethods()) {
      let adapter: Adapter;
      try {
        adapter = adapt(deeper, make(deeper));
      } catch {
        continue; // it has no place there
      }
      const numbered = leaves(adapter.params).some(([path]) => /(layers|h|block)\.2\./.test(path));
      if (numbered) {
        for (const use of [() => graft(model, adapter), () => merge(model, adapter)]) {
          assert.match(said(use), /the adapter has ".*\.2\..*" but the model has 2 blocks/, name);
        }
      }
      dispose(adapter.params);
    }
    for (const one of [deeper, model]) one.dispose();
  }
});

Deno.test("a model whose places are narrowed takes an adapter of its upper blocks", () => {
  const model = tinyLlama(reference(), 1);
  const adapter = adapt(model, at(layers(1), lora()));
  const upper = { ...model, spec: narrow(model.spec, layers(1)) };
  assert.equal(said(() => graft(upper, adapter)), "");
  dispose(adapter.params);
  model.dispose();
});
