/** lets(), letsLayers(): the laws of methods, golden cases, training and what is refused. */
import assert from "node:assert/strict";
import { keep, mapTree, type Model, scope, type Synchronous, type Tree } from "../../../core/mod.ts";
import { lets, letsLayers } from "../../../methods/mod.ts";
import { add } from "../../../ops/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions } from "../../support/bad_options.ts";
import { freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, just, LAYERS, sum, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

/** The LSTM's two directions, from d to d / 2. */
const LSTM = 2 * (4 * (WIDTH / 2) * (WIDTH + WIDTH / 2) + 2 * 4 * (WIDTH / 2));
const attentionMatrices = ({ spec }: Model): number =>
  sum(
    spec.linears.filter((p) => ["query", "key", "value", "qkv", "output"].includes(p.role))
      .map((p) => p.inFeatures * p.outFeatures),
  );
/** Behind a maximum; the golden cases judge these. */
const unlikeDifferences = (): boolean => true;
methodLaws("lets() over each token", {
  unlikeDifferences,
  method: just(lets({ pool: "each", search: 0.1 })),
  atInit: "other",
  merges: "no",
  counts: (model) => added(LSTM + attentionMatrices(model) + LAYERS),
});
methodLaws("lets() of one branch over the first token", {
  unlikeDifferences,
  method: just(lets({ layers: [1], deltas: "block" })),
  atInit: "other",
  merges: "no",
  looksAhead: true, // a continued text's first token lies in the cache
  counts: ({ spec }) =>
    added(LSTM + sum(spec.linears.filter((p) => p.layer === 1).map((p) => p.inFeatures * p.outFeatures))),
  noGradient: [{
    ...{ leaves: /\.layers\.1\.self_attn\.[qk]_(proj|norm)/, on: /^(Llama|Qwen3|Gemma 3)$/ },
    because: "The first token of a causal model attends to itself alone, whatever its query and its key are.",
  }],
});

Deno.test("letsLayers() keeps the branches whose gates are at one half or more", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 12);
      const method = lets({ pool: "each", search: 0.1 });
      const fresh = keep(method.init({ model, key: 0 }));
      const params = keep(scope((): Synchronous<Tree> =>
        mapTree(fresh.tree, (t, path) => path === "gates.0" ? add(t, -1) : add(t, 0))
      ));
      assert.deepEqual(await letsLayers({ method, params: params.tree }), [1]);
      await assert.rejects(letsLayers({ method, params: {} }), /found no gates/);
      params.dispose();
      fresh.dispose();
      model.dispose();
    })));

lowersLoss("lets", lets({ pool: "each" }));
freshNumbers(
  "lets()",
  async ({ numbers }) => assert.equal(largestOf(await numbers(lets({ pool: "each" }), /deltas/)), 0),
);
badOptions("lets()", [[
  () => lets({ search: -1 }),
  /^Expected lets.s option "search" to be a number of at least 0 but found -1$/,
]]);
adapterHubCase("lets", ["bert_text"], lets({ layers: [0, 2] }));
adapterHubCase("lets", ["llama"], lets({ pool: "each", search: 0.3 }));
