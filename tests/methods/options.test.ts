/** Options out of range are refused when a method is made, and what a model lacks when parameters are. */
import assert from "node:assert/strict";
import { adapt, at, keep, type Method } from "../../core/mod.ts";
import {
  adamix,
  dora,
  ia3,
  lora,
  pfeiffer,
  prefixTuning,
  xlora,
  type XloraOptions,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyLlama } from "../support/tiny_models.ts";

Deno.test("methods refuse options out of range", () => {
  const refused: readonly (readonly [() => Method, string])[] = [
    [() => lora({ rank: 0 }), "Expected rank to be a positive integer but found 0"],
    [() => lora({ dropout: 1 }), "Expected dropout from 0 up to 1 but found 1"],
    [() => dora({ rank: 1.5 }), "Expected rank to be a positive integer but found 1.5"],
    [() => dora({ branchBias: true }), "Cannot give DoRA a branchBias: set it to false"],
    [() => pfeiffer({ reduction: 0.5 }), "Expected reduction to be at least 1 but found 0.5"],
    [() => adamix({ experts: 0 }), "Expected experts to be a positive integer but found 0"],
    [() => adamix({ reduction: NaN }), "Expected reduction to be at least 1 but found NaN"],
    [() => prefixTuning({ length: -1 }), "Expected length to be a positive integer but found -1"],
    [() => prefixTuning({ network: { hidden: 0 } }), "Expected hidden to be a positive integer but found 0"],
    [() => prefixTuning({ dropout: -0.1 }), "Expected dropout from 0 up to 1 but found -0.1"],
  ];
  for (const [make, message] of refused) assert.throws(make, { name: "RangeError", message });
});

Deno.test("methods refuse a model without the places they need", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 0);
    const nowhere = <P extends Method>(method: P) => () => adapt(model, at(() => false, method));
    assert.throws(
      nowhere(pfeiffer()),
      /^RangeError: Cannot place pfeiffer: the model offers no feed-forward part/,
    );
    assert.throws(
      nowhere(adamix()),
      /^RangeError: Cannot place adamix: the model offers no feed-forward part/,
    );
    assert.throws(
      nowhere(prefixTuning()),
      /^RangeError: Cannot place prefixTuning: the model offers no attention/,
    );
    model.dispose();
  }));

Deno.test("xlora() refuses what it cannot mix, and numbers out of range", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 0);
    const [a, b, c] = [lora({ rank: 1 }), ia3(), lora({ rank: 1, targets: ["embed_tokens"] })].map((
      method,
    ) => ({
      method,
      params: keep(method.init({ model, key: 0 })),
    }));
    const expert = (made: typeof a) => ({ method: made!.method, params: made!.params.tree });
    const place = (options: XloraOptions) => () => {
      const method = xlora(options);
      const params = keep(method.init({ model, key: 0 }));
      try {
        method.edits(params.tree, model.spec);
      } finally {
        params.dispose();
      }
    };
    const experts = { a: expert(a) };
    const refused: readonly (readonly [() => unknown, RegExp])[] = [
      [place({ experts: {} }), /^RangeError: Expected at least one expert but found none/],
      [place({ experts, depth: 0 }), /^RangeError: Expected depth to be a positive integer but found 0/],
      [place({ experts, topK: 1.5 }), /^RangeError: Expected topK to be a positive integer but found 1.5/],
      [place({ experts, temperature: 0 }), /^RangeError: Expected temperature above 0 but found 0/],
      [place({ experts, dropout: 1 }), /^RangeError: Expected dropout from 0 up to 1 but found 1/],
      [
        place({ experts: { a: expert(b) } }),
        /^RangeError: Cannot mix the linear edit of expert "a" at "model.layers.0.self_attn.k_proj"/,
      ],
      [place({ experts: { c: expert(c) } }), /^RangeError: Cannot mix experts at "model.embed_tokens"/],
    ];
    for (const [make, message] of refused) assert.throws(make, message);
    for (const made of [a, b, c]) made!.params.dispose();
    model.dispose();
  }));
