/**
 * DoRA and a hybrid: parts that are methods, put together by functions. Prints what each costs.
 *
 *   deno run examples/hybrid.ts
 */
import {
  adapt,
  at,
  compose,
  count,
  dora,
  freshModel,
  layerNormTune,
  layers,
  lora,
  type Method,
  pfeiffer,
  reference,
  scaled,
} from "@graft/peft";
import { methodFacts } from "@graft/peft/core";

const config = {
  model_type: "llama",
  vocab_size: 256,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  tie_word_embeddings: true,
};
const model = freshModel(config, { backend: reference(), key: 0 });
const places = { rank: 4, targets: ["q_proj", "v_proj"] };

const methods: Readonly<Record<string, Method>> = {
  "LoRA": lora(places),
  "DoRA": dora(places),
  "DoRA below, adapters above": compose({
    lower: at(layers(0, 2), dora(places)),
    upper: at(layers(2), pfeiffer({ reduction: 8 })),
  }) as unknown as Method,
  "half of a LoRA, and norms": compose({
    half: scaled(lora(places), 0.5),
    norms: layerNormTune(),
  }) as unknown as Method,
};
for (const [name, method] of Object.entries(methods)) {
  const adapter = adapt(model, method);
  const { trainable, base } = count(model, adapter);
  console.log(
    `${name}: ${trainable} of ${base} (${(100 * trainable / base).toFixed(2)} %), ${
      methodFacts(model, method).merges ? "merges" : "stays beside"
    }`,
  );
}
