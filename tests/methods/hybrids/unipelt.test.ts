/** unipelt(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { compose, type Method } from "../../../core/mod.ts";
import { pfeiffer, prefixTuning, unipelt } from "../../../methods/mod.ts";
import { adapterHubCase, SMALL } from "../../support/adapter_hub_case.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions } from "../../support/bad_options.ts";
import { bottleneck, just, LAYERS, prefixRows, sum, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { BERT_BASE, bertOf } from "../../support/published_shapes.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

methodLaws("unipelt()", {
  method: just(unipelt({
    prefix: { length: 3, network: { hidden: 5 } },
    lora: { rank: 2 },
    adapter: { reduction: 4, activation: "gelu" },
  })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  looksAhead: true,
  counts: (model) => {
    const targets = model.spec.linears.filter((p) => ["query", "value", "qkv"].includes(p.role));
    const gates = sum(targets.map((p) => p.inFeatures + 1)) + 2 * LAYERS * (WIDTH + 1);
    return {
      trainable: 3 * WIDTH + 5 * WIDTH + 5 + (5 + 1) * prefixRows(model, 1) + LAYERS * bottleneck(3) + gates +
        sum(targets.map((p) => 2 * (p.inFeatures + p.outFeatures))),
    };
  },
});

methodLaws("unipelt() with a central gate", {
  method: just(unipelt({
    prefix: { length: 3, network: { hidden: 5 } },
    lora: { rank: 2 },
    adapter: { reduction: 4, activation: "gelu" },
    gate: "central",
  })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  looksAhead: true,
  counts: (model) => {
    const targets = model.spec.linears.filter((p) => ["query", "value", "qkv"].includes(p.role));
    return {
      trainable: 3 * WIDTH + 5 * WIDTH + 5 + (5 + 1) * prefixRows(model, 1) + LAYERS * bottleneck(3) +
        LAYERS * 3 * (WIDTH + 1) +
        sum(targets.map((p) => 2 * (p.inFeatures + p.outFeatures))),
    };
  },
});

Deno.test("unipelt()'s gate stands in the place of α / r, whatever the ranks", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyLlama(backend, 19);
      const options = { prefix: "none", adapter: "none" } as const;
      const method = unipelt({ ...options, lora: { rank: 4, rankPattern: { v_proj: 2 } } });
      const gate = method.components!["lora"]!;
      assert.deepEqual(gate.config, { gate: { name: "sentence-gate" } });
      assert.deepEqual(gate.components!["of"]!.config, {
        rank: 4,
        alpha: 4,
        rankPattern: { v_proj: 2 },
        alphaPattern: { v_proj: 2 },
      });
      model.dispose();
    })));

lowersLoss(
  "unipelt",
  unipelt({ prefix: { length: 2, network: { hidden: 4 } }, lora: { rank: 2 }, adapter: { reduction: 4 } }),
);
publishedCount("unipelt() of BERT-base has 1.29 %, without LoRA and gates 0.985 %", () => {
  const [rows, base] = [{ length: 10, network: "none" } as const, 109_482_240]; // with its pooler
  const all = trainableOf(BERT_BASE, unipelt({ prefix: rows }));
  assert.equal(all, 1_410_672);
  assert.equal((100 * all / base).toFixed(2), "1.29");
  const ap = trainableOf(BERT_BASE, compose({ prefix: prefixTuning(rows), adapter: pfeiffer() }) as Method);
  assert.equal(ap, 1_078_848);
  assert.equal((100 * ap / base).toFixed(3), "0.985");
  assert.equal(trainableOf(BERT_BASE, unipelt({ prefix: rows, lora: "none" })), ap + 12 * 2 * 769);
  // Four gates of 769 in each block, and 1,373,760 for the parts.
  const classifying = bertOf(768, 12, 30_522, "BertForSequenceClassification");
  assert.equal(trainableOf(classifying, unipelt({ prefix: rows })), 1_373_760 + 36_912);
});
printedShares("unipelt()", [
  ["UniPELT, bert-base", 1_410_672, "bert-base-uncased", "1.29"],
  ["UniPELT without LoRA, bert-base", 1_078_848, "bert-base-uncased", "0.985"],
]);
badOptions("unipelt()", [
  [() => unipelt({ prefix: "none", lora: "none", adapter: "none" }), /Expected at least one part of unipelt/],
]);
const SHARED = { ...SMALL, lora: { rank: 3 }, adapter: { reduction: 5 } } as const;
adapterHubCase("unipelt", ["bert_text", "roberta_tags", "t5_square"], unipelt(SHARED));
adapterHubCase("central", ["bert_text"], unipelt({ ...SHARED, gate: "central" }));
