/** Methods made from methods obey the laws too, and those of their combinators. */
import assert from "node:assert/strict";
import {
  at,
  bytesOf,
  compose,
  dequantize,
  dispose,
  forward,
  type Gate,
  gated,
  graft,
  keep,
  key,
  leaves,
  lookup,
  lossAndGrad,
  mapTree,
  merge,
  type Method,
  type Model,
  type Place,
  quantize,
  read,
  type Root,
  scaled,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  compacter,
  dora,
  fullFineTune,
  ia3,
  ladderSideTuning,
  lora,
  loreft,
  only,
  pfeiffer,
  prefixTuning,
  sentenceGate,
} from "../../methods/mod.ts";
import { add, full } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { losses } from "../support/lowers_loss.ts";
import { methodLaws } from "../support/method_laws.ts";
import { noised } from "../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const LORA = lora({ rank: 2, targets: "all-linear", dropout: 0.2 });
const SMALL = pfeiffer({ reduction: 4, activation: "gelu" });
const PREFIX = prefixTuning({ length: 2, network: { hidden: 3 } });

methodLaws("compose() of three", {
  method: () => ({ method: compose({ lora: LORA, ia3: ia3(), prefix: PREFIX }) }),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});
methodLaws("compose() of what merges", {
  method: () => ({
    method: compose({ all: fullFineTune(), dora: dora({ rank: 2 }), lora: LORA, ia3: ia3() }),
  }),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
  unlikeDifferences: (path) => !path.startsWith("lora") && !path.startsWith("ia3"), // ‖V‖ under DoRA
});
for (
  const [method, merges] of [
    [LORA, "and unmerges"],
    [ia3(), "and unmerges"],
    [dora({ rank: 2 }), "only"],
    [fullFineTune(), "only"],
  ] as const
) {
  methodLaws(`scaled(${method.name}, 0.7)`, {
    method: () => ({ method: scaled(method, 0.7) }),
    atInit: "base",
    merges,
    counts: () => ({}),
    runs: 2,
    unlikeDifferences: (path) => method.name === "dora" && !path.endsWith("magnitude"),
  });
}
methodLaws("scaled() of what does not merge", {
  method: () => ({
    method: scaled(compose({ a: SMALL, p: PREFIX }), 0.3),
  }),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});
methodLaws("scaled() of a side network", {
  method: () => ({ method: scaled(ladderSideTuning({ reduction: 2 }), 0.3) }),
  atInit: "other",
  merges: "no",
  counts: () => ({}),
});
methodLaws("gated() of every kind that sees the input", {
  method: () => ({
    method: gated(
      compose({
        dora: dora({ rank: 1, targets: (place) => place.kind === "linear" && place.role === "up" }),
        lora: LORA,
        ia3: ia3(),
        a: SMALL,
        p: PREFIX,
      }),
      sentenceGate(),
    ),
  }),
  atInit: "other",
  merges: "no",
  counts: () => ({}),
  unlikeDifferences: (path) => path.includes("dora"),
  looksAhead: true,
});

/** Parameters as training would leave them. */
const trained = (method: Method, model: Model): Root<Tree> =>
  keep(scope((): Synchronous<Tree> => noised(method.init({ model, key: 1 }), key(2))));

/** Logits of the adapted model, or of the merged one. */
async function logits(model: Model, method: Method, params: Tree): Promise<Float32Array> {
  const out = forward(graft(model, { method, params }), { inputIds: [[3, 1, 4, 1, 5]] }).logits;
  const numbers = await read(out);
  out.storage.free();
  return numbers;
}

async function onTiny(f: (model: Model) => Promise<void>): Promise<void> {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    const backend = reference();
    await assertNoLeak(async () => {
      const model = tiny(backend, 7);
      await f(model);
      model.dispose();
    });
  }
}

Deno.test("scaled() by 1 is the method, by 0 the base, and twice the product", () =>
  onTiny(async (model) => {
    const methods = [
      lora({ rank: 2, alpha: 3, branchBias: true }),
      ia3(),
      SMALL,
      dora({ rank: 2 }),
      ladderSideTuning({ reduction: 2 }),
    ];
    for (const m of methods) {
      const params = trained(m, model);
      const run = (method: Method) => logits(model, method, params.tree);
      const [base, all] = [await logits(model, compose({}), {}), await run(m)];
      assertClose(await run(scaled(m, 1)), all, 1e-5, `${m.name} by 1`);
      assertClose(await run(scaled(m, 0)), base, 1e-5, `${m.name} by 0`);
      assertClose(
        await run(scaled(scaled(m, 0.5), 0.3)),
        await run(scaled(m, 0.15)),
        1e-5,
        `${m.name} twice`,
      );
      params.dispose();
    }
  }));

/** A gate without parameters that is always open by g. */
const constant = (g: number): Gate => ({
  name: "constant",
  config: { g },
  init: () => ({}),
  value: (_, x) => full([1, 1, 1], g, x.backend),
});

Deno.test("scaled() of a side network by 0 leaves the gradients of what is in the backbone", () =>
  onTiny(async (model) => {
    const method = compose({ a: SMALL, s: scaled(ladderSideTuning({ reduction: 2 }), 0) });
    const params = keep(method.init({ model, key: 1 }));
    const batch = { inputIds: [[3, 1, 4, 1, 5]], labels: [[3, 1, 4, 1, 5]] };
    const both = await lossAndGrad(model, { method, params: params.tree }, batch);
    const alone = await lossAndGrad(model, { method: SMALL, params: params.tree.a as Tree }, batch);
    for (const [path, g] of leaves(alone.grads)) {
      assertClose(await read(new Map(leaves(both.grads)).get(`a.${path}`)!), await read(g), 1e-5, path);
    }
    for (const [, t] of [...leaves(both.grads), ...leaves(alone.grads)]) t.storage.free();
    params.dispose();
  }));

Deno.test("gated() by a constant is scaled(), by 0 the base", () =>
  onTiny(async (model) => {
    const base = await logits(model, compose({}), {});
    const adding = [
      lora({ rank: 2, alpha: 3, branchBias: true }),
      ia3(),
      SMALL,
      dora({ rank: 2 }),
      ladderSideTuning({ reduction: 2 }),
    ];
    for (const m of [...adding, PREFIX]) {
      const of = trained(m, model);
      const run = (g: number) => logits(model, gated(m, constant(g)) as Method, { of: of.tree, gates: {} });
      assertClose(await run(0.4), await logits(model, scaled(m, 0.4), of.tree), 1e-5, `${m.name} by 0.4`);
      if (adding.includes(m)) assertClose(await run(0), base, 1e-5, `${m.name} by 0`);
      of.dispose();
    }
  }));

Deno.test("gated() refuses edits that do not see the input, and does not merge", () =>
  onTiny((model) => {
    const method = gated(fullFineTune(), constant(1));
    assert.throws(() => method.init({ model, key: 0 }), /Cannot gate the weight edit at/);
    return Promise.resolve();
  }));

for (const name of ALL_BACKENDS) {
  Deno.test(`scaled() of trained weights starts from what a stored base says, whatever its dtype (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = tinyGpt2(backend, 4);
        const path = "transformer.h.0.mlp.c_fc.weight";
        for (const dtype of ["f16", "nf4"] as const) {
          const quantized = quantize(model, { dtype });
          const method = only({ parameters: [path] });
          const params = keep(
            scope(() => mapTree(method.init({ model: quantized, key: 0 }), (t) => add(t, 0.5))),
          );
          const adapter = { method: scaled(method, 0.3), params: params.tree };
          const merged = merge(quantized, adapter);
          const plain = dequantize(quantized);
          const [before, after] = await Promise.all([plain, merged].map(async ({ weights }) => {
            const t = lookup(weights, path) as Tensor;
            return await bytesOf(t).then((bytes) =>
              t.dtype === "f16" ? new Float16Array(bytes.buffer) : new Float32Array(bytes.buffer)
            );
          }));
          assertClose(after!, Array.from(before!, (w) => w + 0.15), 1e-6, `${dtype}: a third of the way`);
          const logits = async (m: Model): Promise<Float32Array> => {
            const { logits } = forward(m, { inputIds: [[1, 2, 3]] });
            const numbers = await read(logits);
            dispose(logits);
            return numbers;
          };
          assertClose(await logits(graft(quantized, adapter)), await logits(merged), 1e-5, dtype);
          plain.dispose();
          merged.dispose();
          params.dispose();
          quantized.dispose();
        }
        model.dispose();
      })));
}

Deno.test("a hybrid that no paper has is an expression: gated Compacter in the upper block, LoReFT below", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 15);
      const upper = (place: Place): boolean => place.layer === 1;
      const hybrid = compose({
        upper: at(upper, gated(compacter({ reduction: 3 }), sentenceGate())),
        lower: at((place) => !upper(place), loreft({ rank: 2, first: 1, last: 1 })),
      }) as Method;
      const seen = await losses(model, hybrid, 6, 0.05);
      assert.ok(seen.at(-1)! < seen[0]!, seen.join(", "));
      model.dispose();
    })));
