/**
 * Means of adapters obey the laws of methods, and those of a mean. AdapterHub's numbers stand in
 * tests/io/adapterhub/folders.test.ts.
 */
import assert from "node:assert/strict";
import {
  chooseTargets,
  compose,
  type Counts,
  key,
  leaves,
  type Method,
  type Model,
  sizesOf,
  type Tree,
} from "../../../core/mod.ts";
import {
  averaged,
  houlsby,
  ia3,
  layerNormTune,
  lora,
  oft,
  parallelAdapter,
  pfeiffer,
  prefixTuning,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { onTiny } from "../../support/on_tiny.ts";
import { trained } from "../../support/subject.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const D = 12;
const LAYERS = 2;
const added = (n: number): Partial<Counts> => ({ added: n, trainable: n, changed: 0 });
/** 2 r d + r + d. */
const bottleneck = (r: number): number => 2 * r * D + r + D;

const SMOOTH = pfeiffer({ reduction: 4, activation: "gelu" });
const WIDE = houlsby({ reduction: 3, activation: "tanh", deviation: 0.1 });
/** Outputs alone: scaled inputs have no mean. */
const SCALE = ia3({
  targets: (place) => place.kind === "linear" && ["key", "value", "qkv"].includes(place.role),
  feedForward: [],
});
/** in + out of all targets: LoRA of rank 1. */
const low = ({ spec }: Model): number =>
  chooseTargets(spec, {}).map(sizesOf).reduce((n, p) => n + p.inFeatures + p.outFeatures, 0);
/** What SCALE multiplies. */
const scaled = ({ spec }: Model): number =>
  spec.linears.filter((p) => ["key", "value", "qkv"].includes(p.role)).reduce((n, p) => n + p.outFeatures, 0);

methodLaws("averaged() of adapters at one place or two", {
  method: () => ({
    method: averaged({ a: SMOOTH, b: WIDE }, { weights: [0.25, 0.75] }) as unknown as Method,
  }),
  atInit: "other",
  merges: "no",
  counts: () => added(LAYERS * bottleneck(3) + 2 * LAYERS * bottleneck(4)),
});
methodLaws("averaged() of adapters beside a part, divided once more", {
  method: () => ({
    method: averaged({
      a: parallelAdapter({ reduction: 4, activation: "tanh", dropout: 0.2 }),
      b: parallelAdapter({ reduction: 3, activation: "gelu", scale: "learned" }),
    }, { divided: true }) as unknown as Method,
  }),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (bottleneck(3) + bottleneck(4) + 1)),
});
methodLaws("averaged() of LoRA", {
  method: () => ({
    method: averaged({
      a: lora({ rank: 1, alpha: 3 }),
      b: lora({ rank: 2, dropout: 0.2 }),
    }) as unknown as Method,
  }),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => {
    const n = chooseTargets(model.spec, {}).map(sizesOf).reduce(
      (n, p) => n + p.inFeatures + p.outFeatures,
      0,
    );
    return { added: 3 * n, trainable: 3 * n };
  },
});
methodLaws("averaged() of (IA)³ and what else it knows", {
  method: () => {
    const parts = {
      a: compose({ s: SCALE, low: lora({ rank: 1 }) }) as unknown as Method,
      b: SCALE,
      c: SMOOTH,
    };
    return { method: averaged(parts, { weights: [2, -0.5, 0.25] }) as unknown as Method };
  },
  atInit: "other",
  merges: "no",
  counts: (model) => {
    const n = 2 * scaled(model) + low(model) + LAYERS * bottleneck(3);
    return { added: n, trainable: n };
  },
});
methodLaws("averaged() of (IA)³", {
  method: () => ({
    method: averaged({ a: SCALE, b: SCALE }, { weights: [2, -0.5] }) as unknown as Method,
  }),
  atInit: "other",
  merges: "only",
  counts: (model) => {
    const places = model.spec.linears.filter((p) => ["key", "value", "qkv"].includes(p.role));
    const changed = places.reduce((n, p) => n + p.outFeatures * (p.inFeatures + (p.bias ? 1 : 0)), 0);
    return { added: 2 * scaled(model), trainable: 2 * scaled(model), changed };
  },
});

const mean = (parts: Readonly<Record<string, Method>>, weights?: readonly number[]): Method =>
  averaged(parts, weights && { weights }) as unknown as Method;

Deno.test("averaged() of one method, and of one adapter twice, is that adapter", () =>
  onTiny({ a: WIDE, b: lora({ rank: 2 }) }, async (run, { a, b }) => {
    for (const [method, own] of [[WIDE, a], [lora({ rank: 2 }), b]] as const) {
      const alone = await run(method, own as Tree);
      assertClose(await run(mean({ x: method }), { x: own! }), alone, 1e-5, "of one");
      const twice = mean({ x: method, y: method }, [0.7, 0.3]);
      assertClose(await run(twice, { x: own!, y: own! }), alone, 1e-5, "twice");
    }
  }));

Deno.test("averaged() does not mind the order, and a weight of 0 leaves an adapter out", () =>
  onTiny({ a: WIDE, b: SMOOTH }, async (run, { a, b }) => {
    const both = await run(mean({ x: WIDE, y: SMOOTH }, [0.2, 0.8]), { x: a!, y: b! });
    assertClose(await run(mean({ y: SMOOTH, x: WIDE }, [0.8, 0.2]), { x: a!, y: b! }), both, 1e-5, "order");
    const one = await run(mean({ x: WIDE, y: SMOOTH }, [1, 0]), { x: a!, y: b! });
    assertClose(one, await run(WIDE, a as Tree), 1e-5, "one of them");
  }));

Deno.test("averaged() of LoRA is the sum of the weighted updates, and of (IA)³ the mean of the vectors", () => {
  const low = lora({ rank: 2 });
  return onTiny({ a: low, b: low, c: SCALE, d: SCALE }, async (run, params) => {
    const updates = await run(mean({ a: low, b: low }, [0.4, 1.1]), params);
    const [first, second] = [lora({ rank: 2, alpha: 0.8 }), lora({ rank: 2, alpha: 2.2 })];
    const summed = compose({ a: first, b: second }) as unknown as Method;
    assertClose(updates, await run(summed, params), 1e-5, "updates");
    const vectors = Object.fromEntries(
      ["c", "d"].map((name) => [name, new Map(leaves(params[name] as Tree))]),
    );
    assert.ok(vectors["c"]!.size > 0, "there are vectors");
    const scaled = await run(mean({ c: SCALE, d: SCALE }, [0, 1]), params);
    assertClose(scaled, await run(SCALE, params["d"] as Tree), 1e-5, "vectors");
  });
});

Deno.test("averaged() refuses what has no mean, and weights that do not fit, by name", () => {
  const model = tinyLlama(reference(), key(1));
  const [inputs, prefix, norm] = [
    ia3(),
    prefixTuning({ length: 2, network: "none" }),
    layerNormTune(),
  ];
  const cases: readonly (readonly [Method, RegExp])[] = [
    [inputs, /Cannot average "odd" at ".*down_proj": it scales inputs/],
    [prefix, /Cannot average "odd" at ".*self_attn": a prefix has no mean/],
    [norm, /Cannot average "odd" at ".*norm\.weight": a weight has no mean/],
    [oft({ blocks: { size: 4 } }), /Cannot average "odd" at ".*_proj": it turns inputs/],
  ];
  for (const [odd, message] of cases) {
    const method = mean({ a: SMOOTH, odd });
    const { adapters, dispose } = trained(model, { a: SMOOTH, odd });
    const params = { a: adapters["a"]!.params, odd: adapters["odd"]!.params };
    assert.throws(() => method.edits(params, model.spec), (error: Error) => {
      assert.ok(error instanceof TypeError);
      return message.test(error.message) || assert.fail(error.message);
    });
    dispose();
  }
  model.dispose();
  assert.throws(() => averaged({}), /at least one method/);
  assert.throws(() => mean({ a: SMOOTH, b: WIDE }, [1]), /Expected 2 finite weights.*found \[1\]/);
  assert.throws(() => mean({ a: SMOOTH, b: WIDE }, [1, NaN]), /found \[1, NaN\]/);
});
