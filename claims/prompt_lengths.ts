/** Prompts of 5 and of 150 rows. */
import { dispose, methodCosts } from "../core/mod.ts";
import { promptTuning } from "../methods/mod.ts";
import type { Claim } from "./claim.ts";

export const claim: Claim = {
  title: "On a large model 5 prompt rows do as well as 150",
  check: async (lab) => {
    const { model } = lab.shop;
    const said: string[] = [`untuned ${(await lab.heldOut(model)).toFixed(3)}`];
    for (const length of [5, 150]) {
      const method = promptTuning({ length });
      const { adapter, heldOut } = await lab.run(method, { rate: 0.1 });
      dispose(adapter.params);
      const { extra, base } = methodCosts(model, method).multiplyAdds;
      said.push(`${length} rows ${heldOut.toFixed(3)} at +${(100 * extra / base).toFixed(0)} % work a token`);
    }
    return {
      article: "T5-11B is as good on SuperGLUE with 5 tokens as with 150",
      ours: `held-out loss after ${lab.steps} steps on our small model: ${said.join(", ")}`,
      verdict: "not testable here",
      note: "the claim is about 11 billion parameters",
    };
  },
};
