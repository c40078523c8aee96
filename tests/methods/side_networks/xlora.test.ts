/** xlora(): the laws of methods, golden cases and what is refused. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Backend,
  chooseTargets,
  count,
  dispose,
  keep,
  leaves,
  type Model,
  sizesOf,
} from "../../../core/mod.ts";
import { ia3, lora, xlora, type XloraOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { assertGolden, goldenParams, onGolden, TARGETS } from "../../support/golden_method.ts";
import { sum, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { withShapes } from "../../support/published_counts.ts";
import { LLAMA_7B } from "../../support/published_shapes.ts";
import type { Made } from "../../support/subject.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

/** X-LoRA over experts of ranks 1 to n with both factors random. */
function mixing(n: number, options: Omit<XloraOptions, "experts">): (model: Model) => Made {
  return (model) => {
    const methods = Array.from({ length: n }, (_, i) => lora({ rank: i + 1, initialization: "none" }));
    const trained = methods.map((method, i) => keep(method.init({ model, key: i })));
    const experts = Object.fromEntries(
      methods.map((method, i) => [`expert${i}`, { method, params: trained[i]!.tree }]),
    );
    return {
      method: xlora({ ...options, experts }),
      dispose: () => trained.forEach((root) => root.dispose()),
    };
  };
}

methodLaws("xlora()", {
  method: mixing(2, {}),
  atInit: "other",
  merges: "no",
  counts: () => ({ trainable: WIDTH * 2 + 2 }), // d K + K
});
methodLaws("xlora() with a λ for each layer and a deep router", {
  method: mixing(2, { depth: 2, size: 5, routes: "layerwise", temperature: 0.5 }),
  atInit: "other",
  merges: "no",
  counts: (model) => {
    const adapted = chooseTargets(model.spec, {}).length;
    return { trainable: WIDTH * 5 + 5 + (5 + 1) * 2 * adapted };
  },
  unlikeDifferences: (path) => path.startsWith("router.0."), // behind the ReLU
});
methodLaws("xlora() training its experts too", {
  method: mixing(2, { trains: "all" }),
  atInit: "other",
  merges: "no",
  counts: (model) => {
    const sizes = chooseTargets(model.spec, {}).map(sizesOf);
    return { trainable: WIDTH * 2 + 2 + 3 * sum(sizes.map((s) => s.inFeatures + s.outFeatures)) };
  },
});

/** The parameters of a golden X-LoRA with its experts of ranks 2, 3, … */
function experts(name: string, n: number, backend: Backend): Readonly<Record<string, Adapter>> {
  return Object.fromEntries(
    Array.from({ length: n }, (_, i) => {
      const params = goldenParams(name, backend, `expert${i}.`).tree;
      return [String(i), { method: lora({ rank: 2 + i, alpha: 4, targets: TARGETS }), params }];
    }),
  );
}

async function xloraCase(name: string, n: number, options: Omit<Parameters<typeof xlora>[0], "experts">) {
  await onGolden(name, async (model, { router }, backend) => {
    const mixed = experts(name, n, backend);
    const frozen = { experts: Object.fromEntries(Object.entries(mixed).map(([k, a]) => [k, a.params])) };
    const method = xlora({ ...options, experts: mixed });
    await assertGolden(name, model, { method, params: { router: router!, frozen } });
    for (const [, t] of leaves(frozen)) t.storage.free();
  });
}

Deno.test("xlora() equals PEFT's with one λ for all layers", () =>
  xloraCase("xlora", 2, { temperature: 0.7, scale: 1.5 }));

Deno.test("xlora() equals PEFT's with a λ for each layer, a deep router and a softmax of the best two", () =>
  xloraCase("xlora_layerwise", 3, {
    depth: 2,
    size: 5,
    routes: "layerwise",
    topK: 2,
    chosen: "softmax",
    dropout: 0,
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

Deno.test("xlora() has 8,259,552 numbers for 9 experts on LLaMA-7B's 224 layers", () =>
  withShapes(LLAMA_7B, (model) => {
    const one = adapt(model, lora({ rank: 2, targets: "all-linear" })) as unknown as Adapter;
    const experts = Object.fromEntries(Array.from({ length: 9 }, (_, k) => [`expert${k}`, one]));
    const method = xlora({ experts, routes: "layerwise" });
    const params = method.init({ model, key: 0 });
    const router = leaves(params["router"] as typeof params).map(([, t]) => t.size);
    assert.deepEqual(router.sort((a, b) => b - a), [8_257_536, 2_016]);
    assert.equal(count(model, { method, params }).trainable, 8_259_552);
    dispose([params["router"] as typeof params, one.params]);
  }));
