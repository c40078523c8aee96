/**
 * `deno task intrinsic-dimension [FOLDER]`: how few parameters suffice to fine-tune a model on a paraphrase
 * task, for two sizes of encoder, after arXiv 2012.13255. The command generates all data, pretrains both
 * encoders itself, fine-tunes them fully and in subspaces, and prints the curves. Finished runs are kept in
 * FOLDER and not repeated, so it can be stopped and resumed. Writes bench/intrinsic_dimension.json.
 */
import { type Model, type ModelConfig, weightLeaves } from "../core/mod.ts";
import { loadModel } from "../io/load_model.ts";
import { saveModel } from "../io/save_model.ts";
import { isNativeBuilt, native } from "../ops/native/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import {
  type IntrinsicDimension,
  intrinsicDimension,
  type IntrinsicRun,
} from "../recipes/intrinsic_dimension.ts";
import { paraphrases } from "./paraphrase_task.ts";

const HERE = new URL(".", import.meta.url);
const [folder = "runs/intrinsic-dimension"] = Deno.args;

const SETTINGS = {
  vocabulary: 1000,
  pretraining: { pairs: 12800, steps: 3000, rate: 1e-3 },
  requests: ["card-lost", "unknown-charge", "transfer"],
  pairs: { train: 12800, heldOut: 400 },
  steps: 1600,
  batchSize: 32,
  fullRate: 5e-4,
  subspaceRate: 0.5,
  // SAID moves each tensor equally far regardless of its size, so one rate cannot suit both biases of 32
  // elements and matrices.
  parameters: [
    "query.weight",
    "key.weight",
    "value.weight",
    "dense.weight",
    "classifier.weight",
    "classifier.bias",
  ],
  dimensions: [32, 64, 128, 256, 512, 1024, 2048, 4096],
  refinements: 2,
  seeds: [0, 1, 2],
  share: 0.9,
} as const;

/** A BERT of a width. */
const encoder = (width: number, layers: number): ModelConfig => ({
  model_type: "bert",
  architectures: ["BertForSequenceClassification"],
  vocab_size: SETTINGS.vocabulary,
  hidden_size: width,
  num_hidden_layers: layers,
  num_attention_heads: width / 16,
  intermediate_size: 2 * width,
  max_position_embeddings: 64,
  type_vocab_size: 2,
  num_labels: 2,
});

const SIZES = { small: encoder(32, 2), large: encoder(64, 2) } as const;

function report(name: string, size: number, found: IntrinsicDimension): string {
  const line = (what: string, scores: readonly number[], mean: number): string =>
    `  ${what.padEnd(12)} ${mean.toFixed(3)}   ${scores.map((score) => score.toFixed(3)).join(" ")}`;
  return [
    `${name}, ${size.toLocaleString("en")} parameters: d = ${found.dimension ?? "none tried"} reaches ` +
    `${found.target.toFixed(3)}`,
    line("untrained", [], found.untrained),
    ...found.curve.map(({ dimension, scores, mean }) => line(`d ${dimension}`, scores, mean)),
    line("full", found.full.scores, found.full.mean),
  ].join("\n");
}

await Deno.mkdir(folder, { recursive: true });
// Their scores agree up to rounding.
const backend = isNativeBuilt() ? native() : await wasm();
const { task, pretrained } = paraphrases(SETTINGS, SETTINGS.vocabulary);

/** A model from FOLDER, or created and stored there. */
async function kept(name: string, make: () => Promise<Model>): Promise<Model> {
  const path = `${folder}/${name}`;
  if (!await Deno.stat(`${path}/model.safetensors`).then(() => true, () => false)) {
    const model = await make();
    await saveModel(path, model);
    model.dispose();
  }
  return await loadModel(path, { backend });
}

async function measured(name: string, model: Model): Promise<IntrinsicDimension> {
  const path = `${folder}/${name}.jsonl`;
  const text = await Deno.readTextFile(path).catch(() => "");
  const known = text.split("\n").filter((line) => line !== "").map((line): IntrinsicRun => JSON.parse(line));
  return await intrinsicDimension(model, task, {
    ...SETTINGS,
    known,
    measured: async (run) => {
      console.error(`${name}: ${run.dimension ?? "full"}, seed ${run.seed}: ${run.score.toFixed(3)}`);
      await Deno.writeTextFile(path, `${JSON.stringify(run)}\n`, { append: true });
    },
  });
}

const results = [];
for (const [name, config] of Object.entries(SIZES)) {
  const model = await kept(
    name,
    () => pretrained(config, backend, (line) => console.error(`${name}: ${line}`)),
  );
  const found = await measured(name, model);
  const parameters = weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0);
  console.log(report(name, parameters, found));
  results.push({ model: name, parameters, ...found });
}
await Deno.writeTextFile(
  new URL("intrinsic_dimension.json", HERE),
  JSON.stringify({ settings: SETTINGS, results }, null, 2) + "\n",
);
backend.close();
