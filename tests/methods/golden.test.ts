/** The straining methods against PEFT, adapters and literal transcriptions in torch (tests/oracles/strained_methods.py). */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Backend,
  castTo,
  fold,
  generateIds,
  graft,
  keep,
  type Key,
  key as keyOf,
  leaves,
  type Method,
  type Model,
  read,
  scope,
  setLeaves,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import {
  adamix,
  adamixRoute,
  dora,
  ladderSideTuning,
  lora,
  pfeiffer,
  prefixTuning,
  xlora,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { adamixGradients, adamixKeys } from "../../recipes/adamix.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { goldenNumbers } from "../support/golden.ts";
import {
  assertGolden,
  assertGradients,
  goldenBase,
  goldenBatch,
  goldenParams,
} from "../support/golden_method.ts";

const TARGETS = ["q_proj", "v_proj", "down_proj"];

/** Runs a case on the golden base, or on what `change` makes of it. */
async function goldenCase(
  name: string,
  test: (model: Model, params: Tree, backend: Backend) => Promise<void>,
): Promise<void> {
  const backend = reference();
  await assertNoLeak(async () => {
    const model = await goldenBase(backend);
    const params = goldenParams(name, backend);
    await test(model, params.tree, backend);
    params.dispose();
    model.dispose();
  });
}

const plainCase = (name: string, method: Method): Promise<void> =>
  goldenCase(name, (model, params) => assertGolden(name, model, { method, params }));

Deno.test("dora() equals PEFT's logits, loss and gradients", () =>
  plainCase("dora", dora({ rank: 3, alpha: 5, targets: TARGETS })));

Deno.test("dora() on nf4 takes the norm of the decoded weight", () =>
  goldenCase("dora_nf4", async (model, params) => {
    const quantized = keep(scope(() =>
      Object.fromEntries(
        weightLeaves(model.weights)
          .filter(([path]) => path.endsWith("_proj.weight"))
          .map(([path, t]) => [path, castTo(t, "nf4")] as const),
      )
    ));
    const base = { ...model, weights: setLeaves(model.weights, Object.entries(quantized.tree)) };
    const method = dora({ rank: 2, alpha: 3, targets: ["q_proj", "o_proj"] });
    await assertGolden("dora_nf4", base, { method, params });
    quantized.dispose();
  }));

Deno.test("pfeiffer() equals adapters' on a pre-norm Llama", () =>
  plainCase("pfeiffer", pfeiffer({ reduction: 5 })));

Deno.test("prefixTuning() equals PEFT's with grouped queries and padding", () =>
  plainCase("prefix", prefixTuning({ length: 5, network: "none" })));

Deno.test("prefixTuning() generates what PEFT generates", () =>
  goldenCase("prefix", async (model, params) => {
    const tuned = graft(model, { method: prefixTuning({ length: 5, network: "none" }), params });
    const ids = await generateIds(tuned, [5, 9, 31, 2], { maxNewTokens: 8, eos: [] });
    assert.deepEqual(ids, [...goldenNumbers("methods/prefix.safetensors").get("generated")!]);
  }));

Deno.test("prefixTuning() with a network equals PEFT's prefix_projection", () =>
  plainCase("prefix_network", prefixTuning({ length: 4, network: { hidden: 7 } })));

Deno.test("ladderSideTuning() equals a transcription around transformers' blocks", () =>
  plainCase("ladder", ladderSideTuning({ reduction: 3 })));

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
  await goldenCase(name, async (model, { router }, backend) => {
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

const ADAMIX = adamix({ experts: 2, reduction: 4.8, mixes: "both" });
const MLPS = ["model.layers.0.mlp", "model.layers.1.mlp"];

Deno.test("adamix() averages its experts in evaluation", () =>
  goldenCase("adamix", async (model, params) => {
    const logits = goldenNumbers("methods/adamix.safetensors").get("logits")!;
    const run = async (adapter: Adapter): Promise<void> => {
      const out = scope(() => model.architecture.states(graft(model, adapter), goldenBatch(), {}).states);
      const scores = scope(() => model.architecture.head(model, out, {}));
      assertClose(await read(scores), logits, 1e-5, "logits");
      scores.storage.free();
      out.storage.free();
    };
    await run({ method: ADAMIX, params });
    const finalized = ADAMIX.finalize!(params, model.spec);
    assert.equal(finalized.method.name, "pfeiffer");
    await run(finalized);
    for (const [, t] of leaves(finalized.params)) t.storage.free();
  }));

/** Routes of a pass under a key, as a number: D and U of layer 0, D and U of layer 1. */
function routeOf(key: Key): number {
  return MLPS.flatMap((path) => {
    const place = fold(fold(fold(key, path), "hidden"), 0); // as core/places/pass.ts folds it
    const { down, up } = adamixRoute(place, 2, 2);
    return [down, up];
  }).reduce((n, bit) => 2 * n + bit, 0);
}

Deno.test("adamixGradients() equals the consistency loss of the two routes that its key draws", () =>
  goldenCase("adamix", async (model, params) => {
    const table = goldenNumbers("methods/adamix.safetensors").get("consistency")!; // [16, 16]
    const wanted = 16 * 0b0110 + 0b1100; // the pair whose gradients are golden
    const pairOf = (seed: number): number =>
      adamixKeys(seed).map(routeOf).reduce((pair, route) => 16 * pair + route);
    const seeds = Array.from({ length: 5000 }, (_, seed) => seed);
    for (const seed of [...seeds.slice(0, 8), seeds.find((seed) => pairOf(seed) === wanted)!]) {
      const { value, gradients } = adamixGradients(model, { method: ADAMIX, params }, goldenBatch(), {
        key: keyOf(seed),
      });
      assertClose(await read(value), [table[pairOf(seed)]!], 1e-5, `loss of seed ${seed}`);
      if (pairOf(seed) === wanted) await assertGradients("adamix", gradients, 1e-4);
      value.storage.free();
      for (const [, t] of leaves(gradients)) t.storage.free();
    }
  }));

Deno.test("adamix() starts with equal experts, which its average equals", () =>
  goldenCase("adamix", async (model) => {
    const params = adamix({ experts: 3, reduction: 6, mixes: "both" }).init({ model, key: 3 });
    for (const path of MLPS) {
      const weight = await read(leaves(params).find(([p]) => p === `${path}.down.weight`)![1]);
      const one = weight.subarray(0, weight.length / 3);
      for (let i = 1; i < 3; i++) {
        assert.deepEqual(weight.subarray(i * one.length, (i + 1) * one.length), one);
      }
    }
    for (const [, t] of leaves(params)) t.storage.free();
  }));
