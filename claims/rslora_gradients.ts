/** The norm of the gradient as the rank grows, under α/r and α/√r. */
import { adapt, dispose, leaves, lossAndGrad, read } from "../core/mod.ts";
import { lora } from "../methods/mod.ts";
import { batchOf } from "../train/mod.ts";
import { type Claim, verdictOf } from "./claim.ts";

const RANKS = [4, 16, 64, 256] as const;

export const claim: Claim = {
  title: "LoRA's gradient collapses as the rank grows from 4 to 256, rsLoRA's does not",
  check: async ({ shop }) => {
    const rows = [[0], [1], [2], [3]];
    const batch = batchOf(shop.train, { rows, targets: 0 }, {
      batching: { kind: "buckets", batchSize: 4 },
      pad: shop.pad,
    });
    const normOf = async (rank: number, scaling: "standard" | "rankStabilized"): Promise<number> => {
      const options = { rank, alpha: 16, scaling, targets: ["q_proj", "v_proj"] } as const;
      const adapter = adapt(shop.model, lora(options));
      const { grads } = await lossAndGrad(shop.model, adapter, batch);
      let squares = 0;
      for (const [, g] of leaves(grads)) {
        squares += (await read(g)).reduce((n: number, x: number) => n + x * x, 0);
      }
      dispose([grads, adapter.params]);
      return Math.sqrt(squares);
    };
    const norms = { standard: [] as number[], rankStabilized: [] as number[] };
    for (const rank of RANKS) {
      for (const scaling of ["standard", "rankStabilized"] as const) {
        norms[scaling].push(await normOf(rank, scaling));
      }
    }
    const kept = (values: readonly number[]): number => values.at(-1)! / values[0]!;
    const show = (values: readonly number[]): string => values.map((x) => x.toPrecision(3)).join(", ");
    return {
      article: "stable gradients for rsLoRA, gradient collapse for LoRA (a plot for r = 4 to 2048)",
      ours: `at r = ${RANKS.join(", ")}: LoRA ${show(norms.standard)}; rsLoRA ${show(norms.rankStabilized)}`,
      verdict: verdictOf(kept(norms.standard) < 0.25 && kept(norms.rankStabilized) > 0.5),
      note: "at the first step, α = 16; LoRA's falls as 1/√r",
    };
  },
};
