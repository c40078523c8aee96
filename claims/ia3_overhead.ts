/** Whether (IA)³ costs anything once it is trained. */
import { methodCosts } from "../core/mod.ts";
import { ia3 } from "../methods/mod.ts";
import { type Claim, verdictOf } from "./claim.ts";

export const claim: Claim = {
  title: "(IA)³ has an overhead at inference: extra gating",
  check: ({ shop: { model } }) => {
    const { merges, multiplyAdds } = methodCosts(model, ia3());
    const extra = merges ? 0 : multiplyAdds.extra;
    return {
      article: "extra gating",
      ours: merges ? `it merges: ${extra} multiply-adds more a token` : `${extra} multiply-adds more a token`,
      verdict: verdictOf(extra > 0),
    };
  },
};
