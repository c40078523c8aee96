/** prefixTuning(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import { at, generateIds, graft } from "../../../core/mod.ts";
import { prefixTuning } from "../../../methods/mod.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { methodIsGolden, onGolden } from "../../support/golden_method.ts";
import { added, just, prefixRows, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { bertOf, GPT2_MEDIUM, t5Of } from "../../support/published_shapes.ts";
import { tinyT5 } from "../../support/tiny_models.ts";

for (const positions of ["past", "none"] as const) {
  methodLaws(`prefixTuning() without a network, positions ${positions}`, {
    method: just(prefixTuning({ length: 3, network: "none", positions })),
    atInit: "other",
    merges: "no",
    counts: (model) => added(prefixRows(model, 3)),
  });
}
methodLaws("prefixTuning() with a network and dropout", {
  method: just(prefixTuning({ length: 3, network: { hidden: 5 }, dropout: 0.2 })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  // e [n, d], W1 [k, d], b1, and k + 1 for each number of a row.
  counts: (model) => added(3 * WIDTH + 5 * WIDTH + 5 + (5 + 1) * prefixRows(model, 1)),
});

/** Of an encoder and a decoder of two blocks each: two blocks share the rows of the decoder's first. Heads: 2 of size 5. */
for (const network of ["none", { hidden: 3 }] as const) {
  const numbers = network === "none" ? 2 * 3 * 10 : 3 * WIDTH + (3 * WIDTH + 3) + 2 * (10 * 3 + 10);
  methodLaws(`prefixTuning() with PEFT's shared rows, network ${network === "none" ? network : "of 3"}`, {
    method: just(prefixTuning({ length: 3, network, rows: "peft" })),
    atInit: "other",
    merges: "no",
    finalizes: network !== "none",
    counts: () => added(numbers),
    models: [(backend, key) => tinyT5(backend, key)],
    looksAhead: true, // an encoder reads the whole text
  });
}

Deno.test("prefixTuning() equals PEFT's with grouped queries and padding", () =>
  methodIsGolden("prefix", prefixTuning({ length: 5, network: "none" })));

Deno.test("prefixTuning() generates what PEFT generates", () =>
  onGolden("prefix", async (model, params) => {
    const tuned = graft(model, { method: prefixTuning({ length: 5, network: "none" }), params });
    const ids = await generateIds(tuned, [5, 9, 31, 2], { maxNewTokens: 8, eos: [] });
    assert.deepEqual(ids, [...goldenNumbers("strained_methods/prefix.safetensors").get("generated")!]);
  }));

Deno.test("prefixTuning() with a network equals PEFT's prefix_projection", () =>
  methodIsGolden("prefix_network", prefixTuning({ length: 4, network: { hidden: 7 } })));

badOptions("prefixTuning()", [
  [
    () => prefixTuning({ length: -1 }),
    /option "length" to be a positive integer of at most 65536 but found -1$/,
  ],
  [
    () => prefixTuning({ network: { hidden: 0 } }),
    /option "network" to be "none" or {"hidden": a positive integer .* but found {"hidden":0}$/,
  ],
  [() => prefixTuning({ dropout: -0.1 }), /option "dropout" to be a number from 0 up to 1 but found -0.1$/],
]);
misfits("prefixTuning()", [
  [() => at(() => false, prefixTuning()), /^Cannot place prefix-tuning: the model offers no attention/],
]);
publishedCount("prefixTuning() has the counts of GPT2-medium and BART-large, training and kept", () => {
  const five = countsOf(GPT2_MEDIUM, prefixTuning({ length: 5, network: { hidden: 512 } }));
  assert.equal(five.trained.base, 354_823_168);
  assert.equal(five.trained.trainable, 25_744_896);
  assert.equal(five.kept.trainable, 245_760);
  // BART-large's attentions, of three kinds in 12 layers each, are those of a T5 of its sizes.
  const large = countsOf(t5Of(1024, 12, 16, 4096, "1.1"), prefixTuning({ length: 200 }));
  assert.equal(large.kept.trainable, 14_745_600);
  // UniPELT's prefixes.
  const bert = bertOf(768, 12, 30_522, "BertForSequenceClassification");
  assert.equal(trainableOf(bert, prefixTuning({ length: 10, network: "none" })), 184_320);
});
printedShares("prefixTuning()", [
  ["prefixes, GPT2-medium l 5", 245_760, "GPT2-medium", "0.069"],
  ["prefixes, BART-large l 200", 14_745_600, "BART-large", "3.63"],
]);
