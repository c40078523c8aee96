/** GPT-3's numbers: parameters of LoRA, and what "5000 times" counts. */
import { adapt, count, type Model, type ModelConfig } from "../core/mod.ts";
import { configShapes } from "../io/model_shapes.ts";
import { lora } from "../methods/mod.ts";

/** GPT-3 of 175 billion (arXiv 2005.14165, table 2.1), by shapes alone. */
export function gpt3(): Model {
  return configShapes({
    ...{ model_type: "gpt2", vocab_size: 50_257, n_embd: 12_288, n_head: 96, n_layer: 96, n_positions: 2048 },
  });
}

/** Trained numbers of LoRA on its queries and values: of a model of the same width whose matrices lie apart. */
export function loraOfGpt3(rank: number): number {
  const apart: ModelConfig = {
    ...{
      model_type: "llama",
      vocab_size: 8,
      hidden_size: 12_288,
      intermediate_size: 8,
      num_hidden_layers: 96,
    },
    ...{ num_attention_heads: 96, tie_word_embeddings: true },
  };
  const model = configShapes(apart);
  const { trainable } = count(model, adapt(model, lora({ rank, targets: ["q_proj", "v_proj"] })));
  model.dispose();
  return trainable;
}
