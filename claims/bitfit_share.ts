/** BitFit's share of BERT-large. */
import { adapt, count } from "../core/mod.ts";
import { configShapes } from "../io/model_shapes.ts";
import { bitfit } from "../methods/mod.ts";
import { type Claim, counted, percent, verdictOf } from "./claim.ts";

export const claim: Claim = {
  title: "BitFit modifies 0.05 to 0.1 % of the parameters",
  check: () => {
    const model = configShapes({
      ...{ model_type: "bert", architectures: ["BertModel"], vocab_size: 28_996, hidden_size: 1024 },
      ...{ num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 },
      ...{ max_position_embeddings: 512, type_vocab_size: 2 },
    });
    const { trainable, base } = count(model, adapt(model, bitfit()));
    model.dispose();
    return {
      article: "0.08 % of BERT-large",
      ours: `${counted(trainable)} of ${counted(base)}: ${percent(trainable / base)}`,
      verdict: verdictOf((100 * trainable / base).toFixed(2) === "0.08"),
    };
  },
};
