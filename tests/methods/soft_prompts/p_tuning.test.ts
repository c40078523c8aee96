/** pTuning(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  dispose,
  forward,
  graft,
  lossAndGrad,
  type Method,
  read,
} from "../../../core/mod.ts";
import { pTuning, withSlots } from "../../../methods/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { badOptions } from "../../support/bad_options.ts";
import { goldenNumbers, methodFile } from "../../support/golden.ts";
import { assertGradients, onGolden } from "../../support/golden_method.ts";
import { added, just, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { peftPrompt, SLOT, slotted } from "../../support/prompts.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";

methodLaws("pTuning() with the authors' BiLSTM", {
  method: just(pTuning({ length: 3, encoder: { kind: "lstm", dropout: 0.2 } }) as Method),
  atInit: "other",
  merges: "no",
  finalizes: true,
  // e; two layers both ways of 4H (in + H) + 8H with H = d/2; two linear layers
  counts: () => added(3 * WIDTH + 4 * (4 * 6 * (WIDTH + 6) + 8 * 6) + 2 * (WIDTH * WIDTH + WIDTH)),
  unlikeDifferences: (path) => !path.startsWith("mlp.1."), // behind the ReLU; the golden case has them
});

methodLaws("pTuning() with an MLP, at slots", {
  method: just(
    pTuning({ length: 3, where: { token: SLOT }, encoder: { kind: "mlp", hidden: [5, 7] } }) as Method,
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => added(3 * WIDTH + (5 * WIDTH + 5) + (7 * 5 + 7) + (WIDTH * 7 + WIDTH)),
  batch: slotted,
  looksAhead: true,
  unlikeDifferences: (path) => !path.startsWith("mlp.2."),
});

Deno.test("pTuning() at slots equals the paper's template in torch, padded on the left", () =>
  onGolden("p_tuning_slots", async (model, params) => {
    const name = "p_tuning_slots";
    const expected = goldenNumbers(methodFile(name));
    const rows = (part: string): readonly (readonly number[])[] => {
      const all = [...expected.get(part)!];
      return [all.slice(0, all.length / 2), all.slice(all.length / 2)];
    };
    const mask = rows("mask");
    const batch: Batch = {
      inputIds: rows("ids"),
      attentionMask: mask,
      labels: rows("labels"),
      positionIds: mask.map((row) =>
        row.map((_, i) => Math.max(0, row.slice(0, i + 1).reduce((a, b) => a + b) - 1))
      ),
    };
    const template = (a: readonly number[], b: number) => [2, a, [8], 2, [b], 1];
    assert.deepEqual(batch.inputIds[1]!.slice(2), withSlots(template([1, 0], 4), 36));
    const adapter: Adapter = {
      method: pTuning({ length: 5, where: { token: 36 }, encoder: { kind: "lstm" } }) as Method,
      params,
    };
    const { logits } = forward(graft(model, adapter), batch);
    const real = (all: ArrayLike<number>) => Array.from(all).slice(2 * 37); // the first row's padding sees nothing
    assertClose(real(await read(logits)), real(expected.get("logits")!), 1e-5, "logits");
    logits.storage.free();
    const { loss, grads } = await lossAndGrad(model, adapter, batch);
    assertClose([loss], expected.get("loss")!, 1e-5, "loss");
    await assertGradients(name, grads, 1e-4);
    dispose(grads);
  }));

peftPrompt("p_tuning_mlp", pTuning({ length: 5, encoder: { kind: "mlp", hidden: [7, 7] } }) as Method);
peftPrompt(
  "p_tuning_lstm",
  pTuning({ length: 5, encoder: { kind: "lstm", hidden: 7, inner: 14 } }) as Method,
);
publishedCount(
  "pTuning() has 8,278,272 numbers on BERT-base",
  () => assert.equal(trainableOf(bertOf(768, 12, 28_996), pTuning() as Method), 8_278_272),
);
badOptions("pTuning()", [
  [
    () => pTuning({ encoder: { kind: "mlp", hidden: [0] } }),
    /option "encoder" to be .* a list, each a positive integer .* but found .*\[0\]/,
  ],
]);
