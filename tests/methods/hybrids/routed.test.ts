/** Mixtures of methods obey the laws of methods, and those of shares. */
import assert from "node:assert/strict";
import {
  adapt,
  compose,
  dispose,
  graft,
  into,
  key,
  linear,
  lookup,
  merge,
  type Method,
  type Model,
  read,
  rootOf,
  scope,
  type Tensor,
  tensor,
  type Tree,
} from "../../../core/mod.ts";
import {
  averaged,
  houlsby,
  ia3,
  layerNormTune,
  lora,
  prefixTuning,
  promptTuning,
  routed,
} from "../../../methods/mod.ts";
import { barePass } from "../../../models/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { onTiny } from "../../support/on_tiny.ts";
import { trained } from "../../support/subject.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const method = (experts: Readonly<Record<string, Method>>, options?: Parameters<typeof routed>[1]): Method =>
  routed(experts, options) as unknown as Method;
const WIDE = houlsby({ reduction: 3, activation: "tanh", deviation: 0.1 });

methodLaws("routed() of LoRA, (IA)³ and adapters", {
  method: () => ({
    method: method({
      low: lora({ rank: 2, dropout: 0.2 }),
      scales: ia3(),
      both: compose({ b: lora({ rank: 1 }), h: WIDE }) as unknown as Method,
      wide: WIDE,
    }),
  }),
  atInit: "other",
  merges: "no",
  counts: () => ({}),
});
methodLaws("routed() of the likeliest two of three LoRAs", {
  method: () => ({
    method: method(
      { a: lora({ rank: 1 }), b: lora({ rank: 2 }), c: lora({ rank: 1, alpha: 3 }) },
      { topK: 2, chosen: "softmax", temperature: 0.5, deviation: 0.5 },
    ),
  }),
  atInit: "base",
  merges: "no",
  // Where a token's likeliest change, the loss jumps. X-LoRA's golden cases have these shares' gradients.
  unlikeDifferences: () => true,
  counts: () => ({ changed: 0 }),
});

/** A mixture's parameters with experts of one's own. */
function around(
  model: Model,
  mixture: Method,
  of: Readonly<Record<string, Tree>>,
): Tree & { readonly routers: Tree } {
  const { of: fresh, routers } = adapt(model, mixture, 3).params as {
    readonly of: Tree;
    readonly routers: Tree;
  };
  dispose(fresh);
  return { of, routers };
}

Deno.test("routed() of one adapter twice is that adapter, whatever the routers say", () =>
  onTiny({ a: WIDE, b: lora({ rank: 2 }), c: ia3() }, async (run, params, model) => {
    for (const [name, one] of [["a", WIDE], ["b", lora({ rank: 2 })], ["c", ia3()]] as const) {
      const twice = method({ x: one, y: one }, { deviation: 2 });
      const own = around(model, twice, { x: params[name]!, y: params[name]! });
      assertClose(await run(twice, own), await run(one, params[name]!), 2e-5, name);
      dispose(own.routers);
    }
  }));

Deno.test("routed() with the likeliest expert alone is that expert where its router says so everywhere", () =>
  onTiny({ a: lora({ rank: 1 }), b: lora({ rank: 2 }) }, async (run, { a, b }, model) => {
    const mixture = method({ x: lora({ rank: 1 }), y: lora({ rank: 2 }) }, {
      topK: 1,
      chosen: "softmax",
    });
    const { routers } = around(model, mixture, { x: a!, y: b! });
    for (
      const [k, alone] of [[0, await run(lora({ rank: 1 }), a!)], [
        1,
        await run(lora({ rank: 2 }), b!),
      ]] as const
    ) {
      const chosen = biased(routers, k === 0 ? [50, -50] : [-50, 50], model);
      assertClose(await run(mixture, { of: { x: a!, y: b! }, routers: chosen }), alone, 1e-5, `expert ${k}`);
      dispose(chosen);
    }
    dispose(routers);
  }));

/** Routers of zero weights and these biases. */
function biased(routers: Tree, bias: readonly number[], model: Model): Tree {
  const zeroed = (tree: Tree): Tree =>
    Object.fromEntries(
      Object.entries(tree).map(([name, child]) => [
        name,
        "shape" in child
          ? tensor(name === "bias" ? [...bias] : new Float32Array((child as Tensor).size), {
            backend: model.backend,
            shape: (child as Tensor).shape,
          })
          : zeroed(child as Tree),
      ]),
    );
  return zeroed(routers);
}

Deno.test("routed() shares out by softmax( (W x + b) / τ ): half and half is the mean of two", () =>
  onTiny({ a: lora({ rank: 1 }), b: lora({ rank: 1 }) }, async (run, { a, b }, model) => {
    const mixture = method({ x: lora({ rank: 1 }), y: lora({ rank: 1 }) }, { temperature: 2 });
    const { routers } = around(model, mixture, { x: a!, y: b! });
    // e^{3/2} against 1: 0.8176 and 0.1824 of the two updates.
    const shares = [Math.exp(1.5) / (1 + Math.exp(1.5)), 1 / (1 + Math.exp(1.5))];
    const uneven = biased(routers, [3, 0], model);
    const mean = averaged({ x: lora({ rank: 1 }), y: lora({ rank: 1 }) }, {
      weights: shares,
    }) as unknown as Method;
    const expected = await run(mean, { x: a!, y: b! });
    assertClose(await run(mixture, { of: { x: a!, y: b! }, routers: uneven }), expected, 1e-5, "3 / 2");
    dispose(uneven);
    dispose(routers);
  }));

Deno.test("routed() chooses token by token, by the formula written out", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), key(2));
    const path = "model.layers.0.self_attn.q_proj";
    const one = lora({ rank: 2, alpha: 6, targets: ["q_proj"] });
    const { adapters, dispose: free } = trained(model, { a: one, b: one });
    const of = { x: adapters["a"]!.params, y: adapters["b"]!.params };
    const mixture = method({ x: one, y: one }, { deviation: 1, temperature: 0.5 });
    const { routers } = around(model, mixture, of);
    const inputs = [[0.3, -1, 0.7, 0.2, -0.4, 1, 0.9, -0.6, 0.1, 0.5, -0.8, 0.4], Array(12).fill(0.25)];
    const x = tensor([inputs], { backend: model.backend });
    const tuned = graft(model, { method: mixture, params: { of, routers } });
    const site = into(rootOf(tuned.weights), "model", "layers", 0, "self_attn", "q_proj");
    const found = scope(() => linear(barePass(tuned, {}), site, x));
    const matrix = async (tree: Tree, at: string): Promise<readonly (readonly number[])[]> => {
      const leaf = lookup(tree, at) as Tensor;
      const flat = await read(leaf);
      const n = leaf.shape.at(-1)!;
      return Array.from({ length: flat.length / n }, (_, i) => [...flat.subarray(i * n, (i + 1) * n)]);
    };
    const times = (m: readonly (readonly number[])[], v: readonly number[]): readonly number[] =>
      m.map((row) => row.reduce((sum, w, i) => sum + w * v[i]!, 0));
    const [w, route, [bias]] = [
      await matrix(model.weights as Tree, `${path}.weight`),
      await matrix(routers, `${path}.linear.weight`),
      await matrix(routers, `${path}.linear.bias`),
    ];
    const factors = await Promise.all(
      [of.x, of.y].map(async (p) => [await matrix(p, `${path}.a`), await matrix(p, `${path}.b`)] as const),
    );
    const expected = inputs.flatMap((v) => {
      const raised = times(route, v).map((l, k) => Math.exp((l + bias![k]!) / 0.5));
      const total = raised[0]! + raised[1]!;
      const deltas = factors.map(([a, b]) => times(b, times(a, v)));
      return times(w, v).map((y, i) =>
        y + 3 * deltas.reduce((sum, d, k) => sum + raised[k]! / total * d[i]!, 0)
      );
    });
    assertClose([...await read(found)], expected, 1e-5, "y + Σ λ (α/r) B A x");
    const merging = (): unknown => merge(model, { name: "m", method: mixture, params: { of, routers } });
    assert.throws(merging, TypeError);
    dispose([x, found, routers]);
    free();
    model.dispose();
  }));

Deno.test("routed() refuses what it cannot mix, by name", () => {
  const model = tinyLlama(reference(), key(1));
  const init = (experts: Readonly<Record<string, Method>>) => () => adapt(model, method(experts));
  assert.throws(
    init({ a: lora(), b: prefixTuning({ length: 2 }) }),
    /route "b" at .*: a prefix adds nothing/,
  );
  assert.throws(
    init({ a: promptTuning({ length: 2 }), b: lora() }),
    /route "a" at .*: a prompt adds nothing/,
  );
  assert.throws(init({ a: lora(), b: layerNormTune() }), /route "b" at .*: a weight adds nothing/);
  assert.throws(
    init({ a: lora({ targets: ["q_proj"] }), b: WIDE }),
    /route a, b: no two of them change the same place/,
  );
  assert.throws(() => method({ a: lora() }), /at least two experts but found 1/);
  assert.throws(
    () => method({ a: lora(), b: lora() }, { topK: 0 }),
    /topK to be a positive integer but found 0/,
  );
  assert.throws(() => method({ a: lora(), b: lora() }, { temperature: 0 }), /temperature above 0/);
  assert.throws(() => method({ a: lora(), b: lora() }, { deviation: -1 }), /deviation to be a number from 0/);
  model.dispose();
});
