/** DiffPruning's score as fewer differences are kept. */
import { dispose, graft } from "../core/mod.ts";
import { diffPruning, prunedDiff } from "../methods/mod.ts";
import { type Claim, verdictOf } from "./claim.ts";

/** Fewer numbers must each move further in as many steps. */
const FIXED_RATE = 2e-2;
const RATIOS = [0.001, 0.005, 0.02, 0.1, 0.5] as const;

export const claim: Claim = {
  title: "Half a percent of the weights, chosen by DiffPruning, does as well as all",
  check: async (lab) => {
    const { model } = lab.shop;
    const before = await lab.heldOut(model);
    // The embedding is the head, too: see `frozen`.
    const dense = await lab.run(diffPruning({ frozen: ["embed_tokens.weight"] }), { rate: 1.5e-3 });
    const kept: number[] = [];
    for (const ratio of RATIOS) {
      const pruned = await prunedDiff(model, dense.adapter, { ratio });
      kept.push(await lab.heldOut(graft(model, pruned)));
      dispose(pruned.params);
    }
    // The last stage: the kept ones train on, the mask fixed.
    const { method, params } = await prunedDiff(model, dense.adapter, { ratio: 0.005 });
    const last = await lab.run({ ...method, init: () => params }, { rate: FIXED_RATE });
    dispose([dense.adapter.params, last.adapter.params]);
    const gain = (loss: number): number => (before - loss) / (before - dense.heldOut);
    const half = gain(last.heldOut);
    return {
      article: "0.5 % of the parameters, comparable to full fine-tuning on GLUE (a plot over sparsity)",
      ours: `of the gain of all differences (${before.toFixed(2)} to ${dense.heldOut.toFixed(2)}) stays: ` +
        RATIOS.map((ratio, i) => `${(100 * gain(kept[i]!)).toFixed(0)} % at ${100 * ratio} %`).join(", ") +
        `; ${(100 * half).toFixed(0)} % at 0.5 % after the kept ones trained on`,
      verdict: verdictOf(half > 0.9),
      note: `${lab.steps} steps a stage; the paper takes epochs`,
    };
  },
};
