/**
 * compacter(), compacterPlusPlus(): the laws of methods, golden cases, counts that papers print, training and what is refused.
 */
import assert from "node:assert/strict";
import { leaves } from "../../../core/mod.ts";
import { compacter, compacterPlusPlus } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions } from "../../support/bad_options.ts";
import { neutralAtZero } from "../../support/bottleneck_starts.ts";
import { assertNear, deviationOf, freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, just, LAYERS, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss, noisy } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import {
  countsOf,
  normed,
  printedShares,
  publishedCount,
  trainableOf,
} from "../../support/published_counts.ts";
import { T5_BASE, t5Of } from "../../support/published_shapes.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

/** 2 k (d + r) + r + d per adapter, n³ once. */
const compacted = (adapters: number, r: number, n: number, k: number): number =>
  adapters * (2 * k * (WIDTH + r) + r + WIDTH) + n ** 3;
methodLaws("compacter()", {
  method: just(compacter({ reduction: 3, dimension: 2, rank: 2 })),
  atInit: "other",
  merges: "no",
  counts: () => added(compacted(2 * LAYERS, 4, 2, 2)),
});
methodLaws("compacterPlusPlus()", {
  method: just(compacterPlusPlus({ reduction: 3 })),
  atInit: "other",
  merges: "no",
  counts: () => added(compacted(LAYERS, 4, 4, 1)),
});

Deno.test("compacter() has one rule for the whole model", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyLlama(backend, 11);
      const { adapter, dispose: free } = noisy(model, compacter({ reduction: 3 }));
      const rules = leaves(adapter.params).filter(([path]) => path.endsWith("rule"));
      assert.deepEqual(rules.map(([path, t]) => [path, t.shape]), [["rule", [4, 4, 4]]]);
      free();
      model.dispose();
    })));

lowersLoss("compacter", compacter({ reduction: 3 }), 0.05);
neutralAtZero("compacter()", compacter({ reduction: 3 }));
freshNumbers("compacter()", async ({ numbers }) => {
  assertNear(deviationOf(await numbers(compacter({ reduction: 4 }), /rule/)), 1e-4);
  // Glorot with gain √2: ±√2 · √(6 / (rows + columns)) of a slice; 4 terms of 24 by 1.
  assertNear(
    largestOf(await numbers(compacter({ reduction: 4 }), /down\.left/)),
    Math.sqrt(2 * 6 / (24 + 1)),
  );
  assert.equal(largestOf(await numbers(compacter({ reduction: 4 }), /bias/)), 0);
});
publishedCount(
  "compacter() and compacterPlusPlus() have the counts of the paper's table on T5-base, with norms",
  () => {
    for (
      const [method, n, share] of [
        [compacter(), 161_728, "0.073"],
        [compacterPlusPlus(), 104_704, "0.047"],
      ] as const
    ) {
      const { trainable, base } = countsOf(T5_BASE, normed(method)).trained;
      assert.equal(base, 222_903_552);
      assert.deepEqual([trainable, (100 * trainable / base).toFixed(3)], [n, share]);
    }
    // The rule stands once, beside 48 adapters.
    assert.equal(trainableOf(t5Of(768, 12, 12, 3072, "1.0"), compacter()), 48 * 2_376 + 64);
  },
);
printedShares("compacter()", [
  ["Compacter, T5-base n 4", 161_728, "T5-base", "0.073"],
  ["Compacter++, T5-base n 4", 104_704, "T5-base", "0.047"],
]);
badOptions("compacter()", [
  [() => compacter({ dimension: 0 }), /Expected compacter's option "dimension" to be a positive integer/],
]);
adapterHubCase("compacter", ["bert_text", "t5"], compacter({ reduction: 5, activation: "gelu" }));
adapterHubCase("compacter", ["llama"], compacter({ reduction: 6, activation: "gelu" }));
adapterHubCase(
  "compacter_plus",
  ["bert_tags"],
  compacterPlusPlus({ reduction: 2, dimension: 2, rank: 3, activation: "gelu", reads: "normed" }),
);
