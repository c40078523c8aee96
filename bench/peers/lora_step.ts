/** One LoRA step (rank 8 on q, k, v, o; AdamW; 1x128 tokens, all labelled) of a SmolLM2-135M-shaped model. */
import {
  adapt,
  dispose,
  keep,
  lossAndGradients,
  type ModelConfig,
  quantize,
  read,
  type Tree,
} from "../../mod.ts";
import { lora } from "../../methods/mod.ts";
import { freshModel } from "../../models/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { adamw, resident } from "../../train/mod.ts";
import { servePeer } from "./serve.ts";

const SMOLLM2: ModelConfig = {
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

const [threads = "2", rows = "1", tokens = "128", labelled = "128", weights = "f32"] = Deno.args;
const backend = await wasm({ threads: Number(threads) });
const base = freshModel(SMOLLM2, { backend, key: 0 });
const model = weights === "f32" ? base : quantize(base, { dtype: "nf4_double" });
const adapter = adapt(model, lora({ rank: 8, targets: ["q_proj", "k_proj", "v_proj", "o_proj"] }), 1);
const params = keep<Tree>(adapter.params);
const moments = resident(adamw(), params.tree);
const ids = Array.from(
  { length: Number(rows) },
  (_, b) => Array.from({ length: Number(tokens) }, (_, t) => (b * 7919 + t * 997 + 13) % 49152),
);
const labels = ids.map((row) => row.map((id, t) => t < row.length - Number(labelled) ? -100 : id));
let step = 0;

await servePeer({ graft: "0.1.0", deno: Deno.version.deno, v8: Deno.version.v8 }, async () => {
  const { value, gradients } = lossAndGradients(model, { ...adapter, params: params.tree }, {
    inputIds: ids,
    labels,
  });
  params.replace(await moments.apply(params.tree, gradients, { learningRate: 1e-4, step: ++step }));
  await read(value);
  dispose([value, gradients]);
});
