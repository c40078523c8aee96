/** parallelAdapter(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { leaves, read } from "../../../core/mod.ts";
import { parallelAdapter } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions, needsPlaces } from "../../support/bad_options.ts";
import { addedToOnes, stillAtFirst } from "../../support/bottleneck_starts.ts";
import { assertNear, freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, bottleneck, just, LAYERS } from "../../support/law_counts.ts";
import { lowersLoss, noisy } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import {
  BART_LARGE_PARTS,
  printedShares,
  publishedCount,
  trainableIn,
} from "../../support/published_counts.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

methodLaws("parallelAdapter()", {
  method: just(parallelAdapter({ reduction: 4, activation: "tanh", dropout: 0.2 })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * bottleneck(3)),
});
methodLaws("parallelAdapter() with a learned scale", {
  method: just(parallelAdapter({ reduction: 4, activation: "gelu", scale: "learned" })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (bottleneck(3) + 1)),
});

Deno.test("parallelAdapter()'s dropout is behind the non-linearity, so U's bias is never dropped", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 17);
      const { adapter, dispose: free } = noisy(
        model,
        parallelAdapter({ reduction: 4, dropout: 0.9999, scale: 2 }),
      );
      const found = await addedToOnes(adapter, model, 0);
      const bias = await read(leaves(adapter.params).find(([path]) => path.endsWith("up.bias"))![1]);
      assertClose(found, [0, 1, 2, 3].flatMap(() => [...bias].map((b) => 2 * b)), 1e-6, "what is left");
      free();
      model.dispose();
    })));

lowersLoss("parallelAdapter", parallelAdapter());
stillAtFirst("parallelAdapter()", parallelAdapter({ reduction: 4 }), /down/);
freshNumbers("parallelAdapter()", async ({ numbers }) => {
  assertNear(largestOf(await numbers(parallelAdapter(), /down\.weight/)), 1 / Math.sqrt(96));
  assert.equal(largestOf(await numbers(parallelAdapter(), /bias|up/)), 0);
});
publishedCount(
  "parallelAdapter() has the 25,202,688 numbers of He et al. on BART-large",
  () => assert.equal(trainableIn(BART_LARGE_PARTS, parallelAdapter()), 25_202_688),
);
printedShares("parallelAdapter()", [
  ["parallel adapter, BART-large r 512", 25_202_688, "BART-large", "6.20"],
]);
badOptions("parallelAdapter()", [
  [
    () => parallelAdapter({ scale: NaN }),
    /Expected parallel-adapter's option "scale" to be a number or "learned" but found NaN/,
  ],
  [
    () => parallelAdapter({ dropout: 1 }),
    /Expected parallel-adapter's option "dropout" to be a number from 0 up to 1/,
  ],
]);
needsPlaces("parallelAdapter()", parallelAdapter(), /Cannot place parallel-adapter/);
adapterHubCase("parallel", ["bert_text"], parallelAdapter({ reduction: 5, scale: "learned" }));
adapterHubCase("parallel", ["roberta_tags"], parallelAdapter({ reduction: 3 }));
adapterHubCase("parallel", ["llama"], parallelAdapter({ reduction: 24 / 5.5 }));
adapterHubCase(
  "parallel_residual",
  ["t5", "llama"],
  parallelAdapter({ reduction: 5, scale: "learned", reads: "residual" }),
);
