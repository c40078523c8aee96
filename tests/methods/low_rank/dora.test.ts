/** dora(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import {
  castTo,
  chooseTargets,
  type Counts,
  keep,
  type Method,
  type Model,
  scope,
  setLeaves,
  sizesOf,
  weightLeaves,
} from "../../../core/mod.ts";
import { dora, lora } from "../../../methods/mod.ts";
import { badOptions } from "../../support/bad_options.ts";
import { assertGolden, methodIsGolden, onGolden, TARGETS } from "../../support/golden_method.ts";
import { just, sum } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, publishedCount } from "../../support/published_counts.ts";
import { LLAMA_7B } from "../../support/published_shapes.ts";
import { TINY_MODELS } from "../../support/subject.ts";

const DORA = { rank: 2, targets: "all-linear" } as const;
const doraCounts = (model: Model): Partial<Counts> => {
  const sizes = chooseTargets(model.spec, DORA).map(sizesOf);
  const n = sum(sizes.map((s) => 2 * (s.inFeatures + s.outFeatures) + s.outFeatures));
  return { added: n, trainable: n };
};
/** ‖V‖ is a constant for A and B; PEFT's gradients are in the golden case. */
const unlikeDifferences = (path: string): boolean => !path.endsWith(".magnitude");
methodLaws("dora()", {
  method: just(dora(DORA)),
  atInit: "base",
  merges: "only",
  counts: doraCounts,
  unlikeDifferences,
});
methodLaws("dora() with dropout", {
  method: just(dora({ ...DORA, dropout: 0.3 })),
  atInit: "base",
  merges: "only",
  counts: doraCounts,
  unlikeDifferences,
});
// Here the norm has a derivative; α apart from r, since it has no say in the norm. A GPT-2 has the biases that are scaled.
methodLaws("dora() as AdapterHub has it", {
  method: just(dora({ ...DORA, alpha: 5, dropout: 0.3, decomposition: "adapterHub" })),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const sizes = chooseTargets(model.spec, DORA);
    const shifted = sum(sizes.map((p) => p.kind === "linear" && p.bias ? p.outFeatures : 0));
    const matrices = sum(sizes.map(sizesOf).map((s) => s.inFeatures * s.outFeatures));
    return { ...doraCounts(model), changed: matrices + shifted };
  },
});
methodLaws("dora() on the embedding and the head", {
  method: just(dora({ rank: 2, targets: ["embed_tokens", "lm_head"] })),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
  models: TINY_MODELS.slice(0, 1),
  unlikeDifferences,
});

Deno.test("dora() equals PEFT's logits, loss and gradients", () =>
  methodIsGolden("dora", dora({ rank: 3, alpha: 5, targets: TARGETS })));

Deno.test("dora() on nf4 takes the norm of the decoded weight", () =>
  onGolden("dora_nf4", async (model, params) => {
    const quantized = keep(scope(() =>
      Object.fromEntries(
        weightLeaves(model.weights)
          .filter(([path]) => path.endsWith("_proj.weight"))
          .map(([path, t]) => [path, castTo(t, "nf4")] as const),
      )
    ));
    const base = { ...model, weights: setLeaves(model.weights, Object.entries(quantized.tree)) };
    const method = dora({ rank: 2, alpha: 3, targets: ["q_proj", "o_proj"] });
    await assertGolden("dora_nf4", base, { method, params });
    quantized.dispose();
  }));

badOptions("dora()", [
  [
    () => dora({ rank: 1.5 }),
    /^Expected dora.s option "rank" to be a positive integer of at most 65536 but found 1.5$/,
  ],
  [() => dora({ branchBias: true }), "Cannot give DoRA a branchBias: set it to false"],
]);
publishedCount("dora() has LoRA's counts and a magnitude an output on LLaMA-7B", () => {
  const options = { rank: 32, targets: ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"] };
  const [low, weighted] = [lora(options), dora(options)]
    .map((m) => countsOf(LLAMA_7B, m as Method).trained);
  assert.equal(low!.base, 6_738_415_616);
  assert.equal(low!.trainable, 56_098_816);
  assert.equal(weighted!.trainable, 56_975_360);
  const shares = [low!, weighted!].map(({ base, trainable: n }) => (100 * n / (base + n)).toFixed(3));
  assert.deepEqual(shares, ["0.826", "0.838"]);
});
