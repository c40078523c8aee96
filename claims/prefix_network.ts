/** Prefix tuning with and without the network that makes the rows. */
import { prefixTuning } from "../methods/mod.ts";
import { type Claim, verdictOf } from "./claim.ts";
import { meanHeldOut } from "./lab.ts";

const RATES = [1e-2, 0.1] as const;

export const claim: Claim = {
  title: "Prefixes need a network to train stably",
  check: async (lab) => {
    const best = async (network: { readonly hidden: number } | "none"): Promise<readonly number[]> => {
      const losses: number[] = [];
      for (const rate of RATES) {
        const method = prefixTuning({ length: 10, network });
        losses.push(
          await meanHeldOut({ ...lab, seeds: [0] }, method, { rate }).catch(() => Infinity), // it diverged
        );
      }
      return losses;
    };
    const [made, free] = [await best({ hidden: 128 }), await best("none")];
    const show = (losses: readonly number[]): string => losses.map((loss) => loss.toFixed(2)).join(", ");
    return {
      article: "to handle training instability, prefixes are generated through a network",
      ours: `held-out loss after ${lab.steps} steps at rates ${RATES.join(", ")}: with it ${
        show(made)
      }, without ${show(free)}`,
      verdict: verdictOf(Math.min(...made) < Math.min(...free)),
      note: "holds if the best of the rates is better with it; P-tuning v2 does without",
    };
  },
};
