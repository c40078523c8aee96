/** LoRA's parameters on GPT-3. */
import { weightLeaves } from "../core/mod.ts";
import { type Claim, counted, verdictOf } from "./claim.ts";
import { gpt3, loraOfGpt3 } from "./gpt3.ts";

export const claim: Claim = {
  title: "37.7 M of GPT-3's 175 billion",
  check: () => {
    const model = gpt3();
    const base = weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0);
    model.dispose();
    const trained = loraOfGpt3(8);
    return {
      article: "about 37.7 million of 175 billion, almost 5000 times fewer",
      ours: `${counted(trained)} of ${counted(base)}: ${
        Math.round(base / trained)
      } times fewer at r = 8 on q and v`,
      verdict: verdictOf(Math.abs(trained / 37.7e6 - 1) < 0.005 && Math.abs(base / 175e9 - 1) < 0.01),
    };
  },
};
