/**
 * `deno task intrinsic-dimension [FOLDER]`: how few numbers suffice to fine-tune a model on a paraphrase task, for two sizes
 * of model: the embedded one, and one of a quarter of its numbers that this command pretrains first. Messages come from the
 * project's conversations; half of them want the same as the first one of their row. Finished runs are kept in FOLDER and not made again, so it can
 * be stopped and continued. Prints the curves and writes bench/intrinsic_dimension.json.
 */
import { type Backend, type Model, type ModelConfig, weightLeaves } from "../core/mod.ts";
import { CONFIG, pretrained } from "../embedded/pretrain.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { loadModel } from "../io/load_model.ts";
import { saveModel } from "../io/save_model.ts";
import { wasm } from "../ops/wasm/mod.ts";
import {
  type IntrinsicDimension,
  intrinsicDimension,
  type IntrinsicRun,
  type IntrinsicTask,
} from "../recipes/intrinsic_dimension.ts";
import { paraphraseTask } from "./paraphrase_task.ts";

const HERE = new URL(".", import.meta.url);
const [folder = "runs/intrinsic-dimension"] = Deno.args;

/** A third of the embedded model's width and layers, and its tokens. */
const SMALL: ModelConfig = {
  ...CONFIG,
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 3,
  num_key_value_heads: 1,
};

const SETTINGS = {
  pretrainingTexts: 5000,
  rows: { train: 2400, heldOut: 80 },
  size: 6,
  reasons: ["card-lost", "unknown-charge", "transfer"],
  steps: 400,
  batchSize: 6,
  fullRate: 1e-3,
  subspaceRate: 2e-2,
  dimensions: [64, 128, 256, 512, 1024, 2048, 4096, 8192],
  refinements: 1,
  seeds: [0, 1, 2],
  share: 0.9,
} as const;

/** The small model, from FOLDER where it was pretrained before. */
async function smallModel(backend: Backend, tokenizer: Tokenizer): Promise<Model> {
  const kept = `${folder}/small-model`;
  if (!await Deno.stat(`${kept}/model.safetensors`).then(() => true, () => false)) {
    const model = await pretrained({
      config: SMALL,
      tokenizer,
      backend,
      texts: SETTINGS.pretrainingTexts,
      note: (line) => console.error(line),
    });
    await saveModel(kept, model);
    model.dispose();
  }
  return await loadModel(kept, { backend });
}

async function measured(name: string, model: Model, task: IntrinsicTask): Promise<IntrinsicDimension> {
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
const backend = await wasm();
const embedded = await loadModel(new URL("../embedded/model", HERE).pathname, { backend });
const small = await smallModel(backend, embedded.tokenizer);
const task = paraphraseTask(embedded.tokenizer, SETTINGS);
const results = [];
for (const [name, model] of [["small", small], ["embedded", embedded]] as const) {
  const found = await measured(name, model, task);
  const size = weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0);
  console.log(report(name, size, found));
  results.push({ model: name, parameters: size, ...found });
}
await Deno.writeTextFile(
  new URL("intrinsic_dimension.json", HERE),
  JSON.stringify({ settings: SETTINGS, results }, null, 2) + "\n",
);
backend.close();
