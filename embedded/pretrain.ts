/**
 * `deno task pretrain [FOLDER] [STEPS] [THREADS] [BACKEND]`: trains the embedded default model from scratch, with the project's
 * own trainer, on texts that the project generates. Writes config.json, model.safetensors in f16 and the tokenizer's files.
 *
 * The texts show conversations, as plain text and as chats, and requests to copy from one (`copying.ts`); never a summary.
 * It starts with induction heads (`induction.ts`). Every five minutes it writes `runs/pretrain/state.safetensors`, from
 * which the same command goes on; with fewer steps it ends earlier, for the learning rate falls in the last fifth alone.
 */
import {
  adapt,
  type Backend,
  fold,
  graft,
  key,
  type Model,
  type ModelConfig,
  type Tree,
} from "../core/mod.ts";
import { type Tokenizer, tokenizer as makeTokenizer } from "../formats/tokenizer.ts";
import { saveModel } from "../io/save_model.ts";
import { exists } from "../io/path_exists.ts";
import { openTrainingState, saveTrainingState } from "../io/training_state.ts";
import { merge } from "../core/adapters/merge.ts";
import { fullFineTune } from "../methods/selective/full_fine_tune.ts";
import { freshModel } from "../models/fresh.ts";
import { native } from "../ops/native/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { adamw, heldOutLoss, resident, type Rows, startTraining, type TrainOptions } from "../train/mod.ts";
import { copyingStart } from "./induction.ts";
import { pretrainingRows } from "./rows.ts";
import { SPECIAL, TOKENIZER_CONFIG, trainTokenizer, VOCABULARY } from "./tokenizer.ts";

/** The shape of the embedded model: 2.2 million parameters, 4.3 MB in f16. */
export const CONFIG: ModelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 3,
  num_key_value_heads: 3,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: "silu",
  bos_token_id: null,
  // The end of a text, and a user's mark, which ends an answer.
  eos_token_id: [0, 1],
  pad_token_id: 0,
  torch_dtype: "float16",
};

const SEED = 2026;
const LENGTH = 384;
const BATCH = 4;
/** The number of rows, of which a run reads as many as its steps need, in an order that depends on it. */
const ROWS = 48_000;
/** The share of rows that are strings of random tokens. */
const REPEATED = 0.12;
/** The share of texts of which only the answers are predicted: most of what a dialogue says is chance. */
const ANSWERS_ALONE = 0.5;
const WARM_UP = 300;
const RATE = 2e-3;

/** 1 after the warm-up, and in the last fifth of the steps a straight line to 0. */
export function trapezoid(steps: number): (step: number) => number {
  return (step) => Math.min(1, (step + 1) / WARM_UP, (steps - step) / (steps / 5));
}

/** Options of `pretrained`. */
export interface Pretraining {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly backend: Backend;
  /** Number of optimizer steps. */
  readonly steps: number;
  /** Number of rows from which they are taken. */
  readonly rows: number;
  /** Where the state is kept from which the run goes on; none by default. */
  readonly state?: string;
  /** Number of held-out rows of each kind; default 40. */
  readonly probed?: number;
  /** Called occasionally with a line of progress. */
  note(line: string): void;
}

/** A model trained from scratch, in f16. The same arguments give bit-identical results, interrupted or not. */
export async function pretrained(options: Pretraining): Promise<Model> {
  const { config, tokenizer, backend, steps, state, probed = 40, note } = options;
  const started = performance.now();
  const of = { key: key(SEED), length: LENGTH } as const;
  const rows = pretrainingRows(tokenizer, {
    ...of,
    from: 0,
    to: options.rows,
    repeated: REPEATED,
    answersAlone: ANSWERS_ALONE,
  });
  const probes = probesOf(tokenizer, probed);
  note(`${rows.count} rows; ${steps} steps of ${BATCH} rows of ${LENGTH}`);
  const model = freshModel(config, { backend, key: SEED, tokenizer });
  const fresh = adapt(model, fullFineTune());
  const start = { ...fresh, params: await copyingStart(fresh.params, config, fold(key(SEED), "start")) };
  const training = {
    learningRate: RATE,
    schedule: trapezoid(steps),
    moments: (params: Tree) => resident(adamw({ beta2: 0.95, weightDecay: 0.05 }), params),
    batching: { kind: "packing", batchSize: BATCH, maxLength: LENGTH },
    maxSteps: steps,
    clip: 1,
    seed: SEED,
    pad: 0,
  } satisfies TrainOptions;
  using saved = state !== undefined && exists(state) ? openTrainingState(state) : undefined;
  const run = await startTraining(
    model,
    start,
    rows,
    training,
    saved && { step: saved.step, slots: saved.slots, params: saved.params(backend) },
  );
  note(saved ? `goes on after step ${saved.step}` : "starts");
  const measured = async (): Promise<string> => {
    const losses = [];
    for (const [name, probe] of probes) {
      const { loss } = await heldOutLoss(graft(model, run.adapter()), probe, { batchSize: 8, pad: 0 });
      losses.push(`${name} ${loss.toFixed(3)}`);
    }
    return losses.join("  ");
  };
  let last = performance.now();
  note(`start: held out ${await measured()}`);
  for (let report = await run.next(); report; report = await run.next()) {
    const { step, loss } = report;
    if (step % 50 === 0 || step === steps) {
      const seconds = (performance.now() - started) / 1000;
      const held = step % 250 === 0 || step === steps ? `  held out ${await measured()}` : "";
      note(`step ${step}/${steps}  loss ${loss.toFixed(3)}  ${seconds.toFixed(0)} s${held}`);
    }
    if (state !== undefined && performance.now() - last > FIVE_MINUTES) {
      await saveTrainingState(state, run.snapshot(), run.moments.optimizer, { stepsPlanned: steps });
      last = performance.now();
      note(`saved the state after step ${step}`);
    }
  }
  const trained = merge(model, run.adapter(), { dtype: "f16" });
  run.dispose();
  return trained;
}

const FIVE_MINUTES = 5 * 60 * 1000;

/** Held-out rows by what they measure: the answers about texts, and the copies of random strings. */
function probesOf(tokenizer: Tokenizer, count: number): readonly (readonly [name: string, rows: Rows])[] {
  const rows = (repeated: number): Rows =>
    pretrainingRows(tokenizer, {
      key: key(SEED),
      from: HELD_OUT,
      to: HELD_OUT + count,
      length: LENGTH,
      repeated,
      answersAlone: 1,
    });
  return [["answers", rows(0)], ["copies", rows(1)]];
}

/** The first row that no run reads. */
const HELD_OUT = 10_000_000;

/** Pretrains and saves. */
async function pretrain(folder: string, steps: number, backend: Backend): Promise<void> {
  const json = trainTokenizer(SEED, TOKENIZED);
  const tokenizer = makeTokenizer({ tokenizer: json, config: TOKENIZER_CONFIG });
  const note = (line: string): void => console.log(line);
  note(`tokenizer: ${tokenizer.vocabSize} tokens, ${SPECIAL.length} special`);
  const state = "runs/pretrain/state.safetensors";
  await Deno.mkdir("runs/pretrain", { recursive: true });
  const model = await pretrained({ config: CONFIG, tokenizer, backend, steps, rows: ROWS, state, note });
  await saveModel(folder, model);
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
  await Deno.writeTextFile(
    `${folder}/tokenizer_config.json`,
    JSON.stringify(TOKENIZER_CONFIG, null, 2) + "\n",
  );
  if (exists(state)) await Deno.remove(state);
  backend.close();
}

/** Texts from which the tokenizer is made. */
const TOKENIZED = 6000;

if (import.meta.main) {
  const [folder = "embedded/model", steps = "6200", threads = "2", backend = "wasm"] = Deno.args;
  const options = { threads: Number(threads) };
  await pretrain(folder, Number(steps), backend === "native" ? native(options) : await wasm(options));
}
