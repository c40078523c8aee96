/** One training step (AdamW) of a model of SmolLM2-135M's, BERT-base's, TinyLlama-1.1B's or Llama-7B's shape. Options as JSON: see `StepOptions`. */
import {
  adapt,
  dispose,
  keep,
  lossAndGradients,
  memory,
  type ModelConfig,
  read,
  resetPeak,
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
  readonly model: "smollm2" | "bert" | "llama-1b" | "llama-7b";
  readonly layers: number;
  /** Recompute blocks in the backward pass. */
  readonly checkpoint: boolean;
  /**
   * The meaning of a reading's bytes: the process's peak resident memory, or the peak of live bytes within a
   * step.
   */
  readonly bytes: "resident" | "activations";
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
  bytes: "resident",
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
const llama = (width: number, inner: number, layers: number, keyValueHeads: number): ModelConfig => ({
  model_type: "llama",
  vocab_size: 32000,
  hidden_size: width,
  intermediate_size: inner,
  num_hidden_layers: layers,
  num_attention_heads: 32,
  num_key_value_heads: keyValueHeads,
  max_position_embeddings: 2048,
});
const configs: Readonly<Record<StepOptions["model"], ModelConfig>> = {
  "smollm2": { ...SMOLLM2, num_hidden_layers: options.layers },
  "bert": bert,
  "llama-1b": llama(2048, 5632, 22, 4),
  "llama-7b": llama(4096, 11008, 32, 32),
};
const config = configs[options.model];
const targets = classifier
  ? ["query", "key", "value", "attention.output.dense"]
  : ["q_proj", "k_proj", "v_proj", "o_proj"];

const backend = await openBackend(options);
const large = options.model.startsWith("llama");
const model = freshModel(config, {
  backend,
  key: 0,
  ...options.weights !== "f32" && {
    quantize: { dtype: options.weights, ...large && { embeddings: "f16" as const } },
  },
});
const adapter = adapt(model, methodOf(options.method, options.rank, targets), 1);
const params = keep<Tree>(adapter.params);
const moments = resident(adamw(), params.tree);
const inputIds = Array.from(
  { length: options.rows },
  (_, b) =>
    Array.from(
      { length: options.tokens },
      (_, t) => (b * 7919 + t * 997 + 13) % (config["vocab_size"] as number),
    ),
);
const silent = options.tokens - (options.labelled ?? options.tokens);
const labels = classifier
  ? inputIds.map((_, b) => b % 2)
  : inputIds.map((row) => row.map((id, t) => t < silent ? -100 : id));
let step = 0;
let activations = 0;

/**
 * Computes gradients from the parameters; measures live bytes besides the weights, parameters and moments
 * meanwhile.
 */
async function train(): Promise<void> {
  resetPeak();
  const before = memory(backend).live;
  const { value, gradients } = lossAndGradients(
    model,
    { ...adapter, params: params.tree },
    { inputIds, labels },
    { train: true, key: step, checkpointBlocks: options.checkpoint },
  );
  activations = memory(backend).peak - before;
  params.replace(await moments.apply(params.tree, gradients, { learningRate: 1e-4, step: ++step }));
  await read(value);
  dispose([value, gradients]);
}

await (options.bytes === "activations"
  ? servePeer(VERSIONS, train, 1, () => activations)
  : servePeer(VERSIONS, train));
