/** adamix(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import {
  type Adapter,
  at,
  fold,
  graft,
  type Key,
  key as keyOf,
  leaves,
  read,
  scope,
} from "../../../core/mod.ts";
import { adamix, adamixRoute } from "../../../methods/mod.ts";
import { adamixGradients, adamixKeys } from "../../../methods/adapters/adamix_loss.ts";
import { assertClose } from "../../support/assert.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { assertGradients, goldenBatch, onGolden } from "../../support/golden_method.ts";
import { added, bottleneck, just, LAYERS, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { BERT_BASE } from "../../support/published_shapes.ts";

methodLaws("adamix()", {
  method: just(adamix({ reduction: 4 })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  // Four D and a, one U and b, as the released BERT-base file has them.
  counts: () => added(LAYERS * (4 * (WIDTH * 3 + 3) + 3 * WIDTH + WIDTH)),
});
methodLaws("adamix() of both sides", {
  method: just(adamix({ reduction: 4, experts: 3, mixes: "both" })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => added(3 * LAYERS * bottleneck(3)),
});

const ADAMIX = adamix({ experts: 2, reduction: 4.8, mixes: "both" });
const MLPS = ["model.layers.0.mlp", "model.layers.1.mlp"];

Deno.test("adamix() averages its experts in evaluation", () =>
  onGolden("adamix", async (model, params) => {
    const logits = goldenNumbers("strained_methods/adamix.safetensors").get("logits")!;
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
  onGolden("adamix", async (model, params) => {
    const table = goldenNumbers("strained_methods/adamix.safetensors").get("consistency")!; // [16, 16]
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
  onGolden("adamix", async (model) => {
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

badOptions("adamix()", [
  [
    () => adamix({ experts: 0 }),
    /Expected adamix's option "experts" to be a positive integer of at most 4096 but found 0$/,
  ],
  [
    () => adamix({ reduction: NaN }),
    /^Expected adamix's option "reduction" to be a number of at least 1 but found NaN$/,
  ],
]);
misfits("adamix()", [
  [() => at(() => false, adamix()), /^Cannot place adamix: the model offers no feed-forward part/],
]);
publishedCount(
  "adamix() has its paper's count on BERT-base",
  () => assert.equal(trainableOf(BERT_BASE, adamix()), 2_223_360),
);
printedShares("adamix()", [["AdaMix, RoBERTa-large r 16", 811_392, "RoBERTa-large", "0.23"]]);
