/** Models that we quantized, as folders for quantized_in_transformers.py, with our logits. `deno run -A … FOLDER` */
import { forward, quantize, read } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { freshModel } from "../../models/fresh.ts";
import { reference } from "../../ops/reference/mod.ts";

const folder = Deno.args[0]!;
const backend = reference();
const config = {
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 50,
  hidden_size: 72,
  intermediate_size: 100,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
};
const inputIds = [[1, 5, 9, 30, 2, 47], [3, 3, 8, 49, 0, 11]];
const cases = [];
for (const [kind, tie] of [["qwen2", true], ["llama", false]] as const) {
  const model = freshModel({
    ...config,
    model_type: kind,
    architectures: [kind === "llama" ? "LlamaForCausalLM" : "Qwen2ForCausalLM"],
    tie_word_embeddings: tie,
  }, { backend, key: 3, deviation: 0.1 });
  for (const dtype of ["nf4", "nf4_double", "fp4", "fp4_double", "int8"] as const) {
    for (const targets of ["all-linear", ["q_proj", "down_proj"]] as const) {
      const path = `${folder}/${kind}-${dtype}-${typeof targets === "string" ? "all" : "some"}`;
      await saveModel(path, quantize(model, { dtype, targets }));
      const loaded = await loadModel(path, { backend });
      cases.push({ path, inputIds, logits: [...await read(forward(loaded, { inputIds }).logits)] });
    }
  }
}
Deno.writeTextFileSync(`${folder}/cases.json`, JSON.stringify(cases));
