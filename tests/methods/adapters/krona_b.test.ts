/** kronaB(), kronaBres(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { kronaB, kronaBres } from "../../../methods/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { badOptions, misfits } from "../../support/bad_options.ts";
import { stillAtFirst } from "../../support/bottleneck_starts.ts";
import { freshNumbers, largestOf } from "../../support/fresh_numbers.ts";
import { added, just, LAYERS, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { BERT_BASE } from "../../support/published_shapes.ts";

methodLaws("kronaB()", {
  method: just(kronaB({ scale: 1.5, firstFactor: [4, 2] })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (4 * 2 + 3 * 6 + WIDTH)),
});
methodLaws("kronaB() without a bias", {
  method: just(kronaB({ bias: "none", zero: "a", initialization: "normal" })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * 2 * 12), // 3 × 4 and 4 × 3
});
methodLaws("kronaBres()", {
  method: just(kronaBres()),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (2 * 12 + WIDTH + 1)),
});
methodLaws("kronaBres() with a residual from 1", {
  method: just(kronaBres({ residual: 1 })),
  atInit: "other",
  merges: "no",
  counts: () => added(LAYERS * (2 * 12 + WIDTH + 1)),
});

lowersLoss("kronaB", kronaB());
lowersLoss("kronaBres", kronaBres());
stillAtFirst("kronaB()", kronaB(), /\.a$/);
stillAtFirst("kronaBres() with A zero", kronaBres({ zero: "a" }), /\.b$/);
freshNumbers("kronaB()", async ({ numbers }) => {
  assert.equal(largestOf(await numbers(kronaB(), /\.b$|bias/)), 0);
  assert.equal(largestOf(await numbers(kronaBres(), /residual/)), 0);
});
publishedCount(
  "kronaB() and kronaBres() have 1,536 numbers, a bias and a scale for each feed-forward part of width 768",
  () => {
    assert.equal(trainableOf(BERT_BASE, kronaB({ bias: "none" })), 12 * 1536);
    assert.equal(trainableOf(BERT_BASE, kronaB({ firstFactor: [32, 24] })), 12 * (1536 + 768));
    assert.equal(trainableOf(BERT_BASE, kronaBres()), 12 * (1536 + 768 + 1));
  },
);
badOptions("kronaB()", [
  [() => kronaB({ scale: Infinity }), /Expected krona-b's option "scale" to be a number/],
  [() => kronaBres({ residual: NaN }), /Expected krona-bres's option "residual" to be a number/],
]);
misfits("kronaB()", [
  [() => kronaB({ firstFactor: [5, 2] }), /Cannot split ".*mlp" \[12, 12\]/],
]);
adapterHubCase("krona_b", ["bert_text", "llama"], kronaB({ scale: 1.5, firstFactor: [4, 2] }));
adapterHubCase("krona_bres", ["bert_text", "llama"], kronaBres({ scale: 1.5, firstFactor: [4, 2] }));
