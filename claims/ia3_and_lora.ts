/** (IA)³ against LoRA in size, on T0-3B. */
import { adapt, count, type Method } from "../core/mod.ts";
import { configShapes } from "../io/model_shapes.ts";
import { ia3, lora } from "../methods/mod.ts";
import { type Claim, counted, percent, verdictOf } from "./claim.ts";

export const claim: Claim = {
  title: "(IA)³ is 0.02 % of T0-3B, LoRA 16 times that",
  check: () => {
    const model = configShapes({
      ...{ model_type: "t5", vocab_size: 32_128, d_model: 2048, d_kv: 64, num_heads: 32, d_ff: 5120 },
      ...{ num_layers: 24, feed_forward_proj: "gated-gelu", tie_word_embeddings: false },
    });
    const of = (method: Method): number => count(model, adapt(model, method)).trainable;
    const own = of(ia3());
    const two = of(lora({ rank: 8, targets: ["q", "v"] })) / own;
    const four = of(lora({ rank: 8, targets: ["q", "k", "v", "o"] })) / own;
    const { base } = count(model, adapt(model, ia3()));
    model.dispose();
    return {
      article: "0.02 %; LoRA requires 16 times more",
      ours:
        `${counted(own)} (${percent(own / base, 2)}); LoRA of rank 8 ${two.toFixed(1)} times on q and v, ` +
        `${four.toFixed(1)} times on q, k, v and o`,
      verdict: verdictOf(Math.abs(own / base - 0.0002) < 5e-5 && two < 16 && four > 16),
      note: "16 depends on LoRA's rank and layers",
    };
  },
};
