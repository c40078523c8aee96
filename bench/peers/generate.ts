/** 64 tokens, one after another, from a SmolLM2-135M-shaped model behind a prompt of 16. Arguments: {threads, weights}. */
import { generateIds, type ModelConfig, quantize } from "../../mod.ts";
import { freshModel } from "../../models/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { threads = 2, weights = "f32" } = JSON.parse(Deno.args[0] ?? "{}");
const config: ModelConfig = {
  model_type: "llama",
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
};
const backend = await wasm({ threads });
const base = freshModel(config, { backend, key: 0 });
const model = weights === "f32" ? base : quantize(base, { dtype: weights });
const prompt = Array.from({ length: 16 }, (_, t) => (t * 997 + 13) % 49152);
await servePeer(VERSIONS, async () => {
  await generateIds(model, prompt, { maxNewTokens: 64, eos: [] });
});
