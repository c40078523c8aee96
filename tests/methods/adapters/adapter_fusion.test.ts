/** adapterFusion(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import {
  type Adapter,
  compose,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  mapTree,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import { adapterFusion, houlsby, lora, pfeiffer } from "../../../methods/mod.ts";
import { adapterFusionDefinition } from "../../../methods/adapters/adapter_fusion.ts";
import { multiply } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions } from "../../support/bad_options.ts";
import { freshNumbers } from "../../support/fresh_numbers.ts";
import { LAYERS, WIDTH } from "../../support/law_counts.ts";
import { noisy, TEXT } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { preparing } from "../../support/preparing.ts";
import { printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { BERT_BASE } from "../../support/published_shapes.ts";
import type { Made } from "../../support/subject.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

/** Of three adapters fresh for a model. */
const fusing = (model: Model): Made => {
  const methods = [
    pfeiffer({ reduction: 4, activation: "gelu" }),
    pfeiffer({ reduction: 6, activation: "tanh" }),
  ];
  const trained = methods.map((method, i) =>
    keep(scope((): Synchronous<Tree> => method.init({ model, key: i }) as Synchronous<Tree>))
  );
  const adapters = Object.fromEntries(
    methods.map((method, i) => [`task${i}`, { method, params: trained[i]!.tree }]),
  );
  return {
    method: adapterFusion({ adapters, dropout: 0.1 }),
    dispose: () => trained.forEach((root) => root.dispose()),
  };
};
methodLaws("adapterFusion()", {
  method: fusing,
  atInit: "other",
  merges: "no",
  counts: () => ({ trainable: LAYERS * (3 * WIDTH * WIDTH + 2 * WIDTH), changed: 0 }),
});

Deno.test("adapterFusion() refuses adapters that stand at different places, two edits at one place and other edits", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyLlama(backend, 13);
      const made = (method: Method): Adapter => ({
        method,
        params: scope((): Synchronous<Tree> => method.init({ model, key: 0 }) as Synchronous<Tree>),
      });
      const [one, two, lor] = [
        made(pfeiffer({ reduction: 4 })),
        made(houlsby({ reduction: 4 })),
        made(lora()),
      ];
      const twice = made(compose({ a: pfeiffer(), b: pfeiffer() }) as Method);
      const init = (adapters: Readonly<Record<string, Adapter>>) =>
        adapterFusion({ adapters }).init({ model, key: 0 });
      assert.throws(() => init({ one, two }), /only one of them stands at "model\.layers\.0\.self_attn"/);
      assert.throws(() => init({ one, lor }), /Cannot fuse "lor": its edit at ".*" is a linear/);
      assert.throws(() => init({ twice }), /it has two edits at one place/);
      for (const { params } of [one, two, lor, twice]) dispose(params);
      model.dispose();
    })));

Deno.test("adapterFusion() divides its scores by the temperature: at 2 as with half the query", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 18);
      const [one, two] = [noisy(model, pfeiffer({ reduction: 4 })), noisy(model, pfeiffer({ reduction: 3 }))];
      const adapters = { one: one.adapter, two: two.adapter };
      const params = keep(adapterFusion({ adapters }).init({ model, key: 0 }));
      const logits = async (temperature: number, factor: number): Promise<Float32Array> => {
        const moved = keep(scope((): Synchronous<Tree> =>
          mapTree(params.tree, (t, path) => multiply(t, /\.query\./.test(path) ? 40 * factor : 1))
        ));
        const adapter = { method: adapterFusion({ adapters, temperature }), params: moved.tree };
        const { logits } = forward(graft(model, adapter), TEXT);
        const numbers = await read(logits);
        dispose(logits);
        moved.dispose();
        return numbers;
      };
      assertClose(await logits(2, 1), await logits(1, 0.5), 1e-6, "logits");
      assert.notDeepEqual(await logits(2, 1), await logits(1, 1));
      params.dispose();
      one.dispose();
      two.dispose();
      model.dispose();
    })));

freshNumbers("adapterFusion()", async ({ model }) => {
  const trained = noisy(model, pfeiffer());
  const fusion = adapterFusion({ adapters: { a: trained.adapter } }).init({ model, key: 1 });
  const value = await read(leaves(fusion).find(([path]) => path.endsWith("value.weight"))![1]);
  assertClose([...value.subarray(0, 98)], [1, ...new Array<number>(96).fill(1e-6), 1], 1e-9, "W_v");
  dispose(fusion["fusion"]);
  trained.dispose();
});
publishedCount("adapterFusion() of BERT-base trains 3 d² + 2 d a layer", () => {
  const fused = (model: Model): Method => {
    const method = pfeiffer();
    const adapters = Object.fromEntries(
      ["a", "b"].map((name, key) => [name, { method, params: method.init({ model, key }) }]),
    );
    return adapterFusion({ adapters });
  };
  assert.equal(trainableOf(BERT_BASE, fused), 21_252_096);
  assert.equal(trainableOf(BERT_BASE, fused) / 12, 1_771_008);
});
printedShares("adapterFusion()", [["AdapterFusion, bert-base", 21_252_096, "bert-base-uncased", "19.4"]]);
badOptions("adapterFusion()", [
  [() => adapterFusion({ adapters: {} }), /Expected at least one adapter to fuse/],
]);
adapterHubCase("fusion", ["bert_text", "llama"], (params) => {
  const frozen = params["frozen"] as Readonly<Record<string, Tree>>;
  const method = pfeiffer({ reduction: 5 });
  return adapterFusion({
    adapters: { a: { method, params: frozen["a"]! }, b: { method, params: frozen["b"]! } },
  });
});

Deno.test("adapterFusion() is prepared from folders, and planned from their number", async () => {
  const model = tinyLlama(reference(), 1);
  const folders = { a: pfeiffer({ reduction: 4 }), b: pfeiffer({ reduction: 4 }) };
  await assertNoLeak(async () => {
    const options = { adapters: { one: "a", two: "b" }, temperature: 2 };
    const { adapter } = await adapterFusionDefinition.prepare!(preparing(model, options, folders));
    assert.deepEqual(Object.keys(adapter.params["frozen"] as Tree), ["one", "two"]);
    assert.deepEqual(adapter.method.config, { temperature: 2 });
    dispose(adapter.params);
    const wrong = { adapters: { one: "a", two: "c" } };
    await assert.rejects(
      async () => await adapterFusionDefinition.prepare!(preparing(model, wrong, folders)),
      /no folder c/,
    );
  });
  model.dispose();
});
