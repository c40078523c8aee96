/** One training step (AdamW) of a SmolLM2-135M- or BERT-base-shaped model. Options as JSON: see `StepOptions`. */
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
import { freshModel } from "../../models/mod.ts";
import { adamw, resident } from "../../train/mod.ts";
import { methodOf } from "./methods.ts";
import { openBackend, type OpenOptions } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";
import { SMOLLM2 } from "./smollm2.ts";

interface StepOptions extends OpenOptions {
  readonly rows: number;
  readonly tokens: number;
  /** How many tokens at the end of each row have a label; default all. */
  readonly labelled?: number;
  readonly method: string;
  readonly rank: number;
  readonly weights: "f32" | "f16" | "nf4_double";
  readonly model: "smollm2" | "bert";
  readonly layers: number;
  /** Recompute blocks in the backward pass. */
  readonly checkpoint: boolean;
}

const defaults: StepOptions = {
  threads: 2,
  rows: 1,
  tokens: 128,
  method: "lora",
  rank: 8,
  weights: "f32",
  model: "smollm2",
  layers: 30,
  checkpoint: false,
};
const options: StepOptions = { ...defaults, ...JSON.parse(Deno.args[0] ?? "{}") };

const bert: ModelConfig = {
  model_type: "bert",
  architectures: ["BertForSequenceClassification"],
  vocab_size: 30522,
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: "gelu",
  id2label: { "0": "no", "1": "yes" },
};
const classifier = options.model === "bert";
const config = classifier ? bert : { ...SMOLLM2, num_hidden_layers: options.layers };
const targets = classifier
  ? ["query", "key", "value", "attention.output.dense"]
  : ["q_proj", "k_proj", "v_proj", "o_proj"];

const backend = await openBackend(options);
const base = freshModel(config, { backend, key: 0 });
const model = options.weights === "f32" ? base : quantize(base, { dtype: options.weights });
const adapter = adapt(model, methodOf(options.method, options.rank, targets), 1);
const params = keep<Tree>(adapter.params);
const moments = resident(adamw(), params.tree);
const inputIds = Array.from(
  { length: options.rows },
  (_, b) =>
    Array.from(
      { length: options.tokens },
      (_, t) => (b * 7919 + t * 997 + 13) % (config.vocab_size as number),
    ),
);
const silent = options.tokens - (options.labelled ?? options.tokens);
const labels = classifier
  ? inputIds.map((_, b) => b % 2)
  : inputIds.map((row) => row.map((id, t) => t < silent ? -100 : id));
let step = 0;

await servePeer(VERSIONS, async () => {
  const { value, gradients } = lossAndGradients(
    model,
    { ...adapter, params: params.tree },
    { inputIds, labels },
    { train: true, key: step, checkpointBlocks: options.checkpoint },
  );
  params.replace(await moments.apply(params.tree, gradients, { learningRate: 1e-4, step: ++step }));
  await read(value);
  dispose([value, gradients]);
});
