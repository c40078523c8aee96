/** Whether LoRA divides the cost of computing by 5000, as the article's sentence has it. */
import { methodCosts } from "../core/mod.ts";
import { fullFineTune, lora } from "../methods/mod.ts";
import { type Claim, verdictOf } from "./claim.ts";
import { gpt3 } from "./gpt3.ts";

export const claim: Claim = {
  title: "… a reduction of almost 5000 times in computational costs",
  check: () => {
    const model = gpt3();
    const whole = methodCosts(model, fullFineTune(), { tokens: 8 });
    const thin = methodCosts(model, lora({ rank: 8, targets: ["c_attn"] }), { tokens: 8 });
    model.dispose();
    const { base } = whole.multiplyAdds;
    // Forward, the gradient of the inputs, and for what trains the gradient of the weights.
    const through = (facts: typeof thin): number => facts.backward.reached / facts.backward.layers;
    const all = base * (2 + through(whole));
    const some = base * (1 + through(thin));
    const ratio = all / some;
    return {
      article: "almost 5000 times",
      ours: `a training step takes ${(all / 1e9).toFixed(0)} G multiply-adds a token whole, ` +
        `${(some / 1e9).toFixed(0)} G with LoRA: ${ratio.toFixed(2)} times less`,
      verdict: verdictOf(ratio > 1000),
      note: "5000 is the ratio of parameters; the frozen weights still carry forward and backward passes",
    };
  },
};
