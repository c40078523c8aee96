/** LoRA of rank 300 on a matrix of 16,000 by 16,000. */
import { adapt, count } from "../core/mod.ts";
import { configShapes } from "../io/model_shapes.ts";
import { lora } from "../methods/mod.ts";
import { type Claim, counted, verdictOf } from "./claim.ts";

export const claim: Claim = {
  title: "LoRA on a 16,000² matrix at r = 300",
  check: () => {
    const model = configShapes({
      ...{
        model_type: "llama",
        vocab_size: 8,
        hidden_size: 16_000,
        intermediate_size: 8,
        num_hidden_layers: 1,
      },
      ...{ num_attention_heads: 1, tie_word_embeddings: true },
    });
    const { trainable, changed } = count(model, adapt(model, lora({ rank: 300, targets: ["q_proj"] })));
    model.dispose();
    return {
      article: "9.6 million of 256 million",
      ours: `${counted(trainable)} of ${counted(changed)}`,
      verdict: verdictOf(trainable === 9_600_000 && changed === 256_000_000),
      note: "of the update; W itself keeps its rank, and is not decomposed as the article writes",
    };
  },
};
