/** mam(): the laws of methods, golden cases, counts that papers print and training. */
import assert from "node:assert/strict";
import { dispose, leaves, type Model } from "../../../core/mod.ts";
import { mam } from "../../../methods/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";
import { adapterHubCase, SMALL } from "../../support/adapter_hub_case.ts";
import { added, bottleneck, just, LAYERS, prefixRows, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import {
  BART_LARGE_PARTS,
  printedShares,
  publishedCount,
  trainableIn,
  trainableOf,
} from "../../support/published_counts.ts";
import { ROBERTA_BASE } from "../../support/published_shapes.ts";

methodLaws("mam()", {
  method: just(
    mam({ prefix: { length: 3, network: { hidden: 5 } }, parallel: { reduction: 4, activation: "tanh" } }),
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: (model) =>
    added(3 * WIDTH + 5 * WIDTH + 5 + (5 + 1) * prefixRows(model, 1) + LAYERS * bottleneck(3)),
});

lowersLoss("mam", mam({ prefix: { length: 2, network: { hidden: 4 } } }));
publishedCount("mam() has the counts of He et al. on BART-large and RoBERTa-base", () => {
  assert.equal(trainableIn(BART_LARGE_PARTS, mam({ prefix: { network: "none" } })), 27_414_528);
  const small = mam({ prefix: { length: 16, network: "none" }, parallel: { reduction: 48, scale: 2 } });
  assert.equal(trainableOf(ROBERTA_BASE, small), 599_232);
});
publishedCount("mam() trains a network for each kind of attention and leaves rows", () => {
  const method = mam();
  const model = { spec: BART_LARGE_PARTS, backend: shapesOnly() } as Model;
  // e and W1 take the stack's width, which a spec without stacks has from its heads.
  const network = 30 * 1024 + 800 * 1024 + 800 + 12 * 2 * 1024 * 801;
  assert.equal(trainableIn(BART_LARGE_PARTS, method), 3 * network + 25_202_688);
  const params = method.init({ model, key: 0 });
  const finalized = method.finalize!(params, BART_LARGE_PARTS);
  assert.equal(leaves(finalized.params).reduce((n, [, t]) => n + t.size, 0), 27_414_528);
  dispose([params, finalized.params]);
});
printedShares("mam()", [
  ["MAM, BART-large l 30 r 512", 27_414_528, "BART-large", "6.75"],
  ["MAM, RoBERTa-base l 16 r 16", 599_232, "RoBERTa-base", "0.48"],
]);
adapterHubCase("mam", ["bert_text", "roberta_tags"], mam({ ...SMALL, parallel: { reduction: 5 } }));
adapterHubCase("mam", ["t5_square"], mam({ ...SMALL, parallel: { reduction: 5, reads: "residual" } }));
