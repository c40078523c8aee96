/**
 * `deno task pretrain`: trains the embedded default model from scratch, with the project's own trainer, on conversations
 * that the project generates. Writes `embedded/model/` (config.json, model.safetensors in f16, tokenizer files).
 *
 * The texts show conversations, as plain text and as chats, and one small task (repeating a message); never a summary.
 */
import { adapt, fold, key, type ModelConfig } from "../core/mod.ts";
import { type Tokenizer, tokenizer as makeTokenizer } from "../formats/tokenizer.ts";
import { saveModel } from "../io/save_model.ts";
import { merge } from "../core/merge.ts";
import { fullFineTune } from "../methods/full_fine_tune.ts";
import { freshModel } from "../models/fresh.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { adamw, cosine, heldOutLoss, pickRows, resident, type Rows, startTraining } from "../train/mod.ts";
import { pretrainingText } from "./corpus.ts";
import { SPECIAL, TOKENIZER_CONFIG, trainTokenizer, VOCABULARY } from "./tokenizer.ts";

/** The shape of the embedded model: 2.75 million parameters, 5.5 MB in f16. */
export const CONFIG: ModelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: 5,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: "silu",
  bos_token_id: null,
  eos_token_id: 0,
  pad_token_id: 0,
  torch_dtype: "float16",
};

const SEED = 2026;
const LENGTH = 384;
const BATCH = 6;

/** A dialogue as a chat: the customer is the user, the agent the assistant. */
export function asChat(dialogue: string): string {
  return dialogue.split("\n").map((line) =>
    line.startsWith("Customer: ")
      ? `<|user|>\n${line.slice(10)}`
      : line.startsWith("Agent: ")
      ? `<|assistant|>\n${line.slice(7)}`
      : line
  ).join("\n");
}

/** A request to repeat one line of a dialogue. It teaches to answer from the text above, not to summarize. */
export function asRepetition(dialogue: string, which: number): string {
  const lines = dialogue.split("\n");
  const at = which % lines.length;
  const [speaker, ...said] = lines[at]!.split(": ");
  return `<|user|>\nRepeat message ${at + 1} of the ${
    speaker!.toLowerCase()
  }.\n\n${dialogue}\n<|assistant|>\n${said.join(": ")}\n`;
}

/** Text number `index` as the model meets it. */
export function trainingText(index: number): string {
  const text = pretrainingText(key(SEED), index);
  if (!text.includes("\n")) return text;
  switch (index % 5) {
    case 0:
    case 1:
      return asChat(text);
    case 2:
      return asRepetition(text, fold(key(SEED), index).a);
    default:
      return text;
  }
}

/** Rows of LENGTH tokens cut from the joined texts; each token but the first of a row is a target. */
function rowsOfTexts(tokenizer: Tokenizer, from: number, to: number): Rows {
  const ids: number[] = [];
  for (let i = from; i < to; i++) ids.push(...tokenizer.encode(trainingText(i)), tokenizer.eos!);
  const stream = Uint16Array.from(ids);
  const count = Math.floor(stream.length / LENGTH);
  return {
    count,
    lengths: new Uint32Array(count).fill(LENGTH),
    targets: new Uint32Array(count).fill(LENGTH - 1),
    tokens: (n) => {
      const inputIds = [...stream.subarray(n * LENGTH, (n + 1) * LENGTH)];
      return { inputIds, labels: inputIds };
    },
  };
}

/** Pretrains and saves. `texts` sets how long it takes: about 3,000 tokens a second on two cores. */
async function pretrain(folder: string, texts: number, threads: number): Promise<void> {
  const started = performance.now();
  const json = trainTokenizer(SEED, Math.min(texts, 12_000));
  const tokenizer = makeTokenizer({ tokenizer: json, config: TOKENIZER_CONFIG });
  console.log(`tokenizer: ${tokenizer.vocabSize} tokens, ${SPECIAL.length} special`);
  const rows = rowsOfTexts(tokenizer, 0, texts);
  const heldOut = rowsOfTexts(tokenizer, 10_000_000, 10_000_300);
  console.log(`corpus: ${texts} texts, ${rows.count * LENGTH} tokens; held out: ${heldOut.count * LENGTH}`);
  const backend = await wasm({ threads });
  const model = freshModel(CONFIG, { backend, key: SEED, tokenizer, deviation: 0.05 });
  const adapter = adapt(model, fullFineTune());
  const totalSteps = Math.ceil(rows.count / BATCH);
  const run = await startTraining(model, adapter, rows, {
    learningRate: 4e-3,
    schedule: cosine({ totalSteps, warmUp: Math.min(100, Math.ceil(totalSteps / 20)), minimum: 0.02 }),
    moments: (params) => resident(adamw({ beta2: 0.95, weightDecay: 0.05 }), params),
    batching: { kind: "buckets", batchSize: BATCH },
    clip: 1,
    seed: SEED,
    pad: 0,
  });
  for (let report = await run.next(); report; report = await run.next()) {
    if (report.step % 50 !== 0 && report.step !== totalSteps) continue;
    const seconds = (performance.now() - started) / 1000;
    console.log(`step ${report.step}/${totalSteps}  loss ${report.loss.toFixed(3)}  ${seconds.toFixed(0)} s`);
  }
  const trained = merge(model, run.adapter(), { dtype: "f16" });
  const { loss } = await heldOutLoss(trained, pickRows(heldOut, [...Array(heldOut.count).keys()]), {
    batchSize: BATCH,
    pad: 0,
  });
  console.log(`held-out loss ${loss.toFixed(3)} a token, perplexity ${Math.exp(loss).toFixed(2)}`);
  await saveModel(folder, trained);
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
  await Deno.writeTextFile(
    `${folder}/tokenizer_config.json`,
    JSON.stringify(TOKENIZER_CONFIG, null, 2) + "\n",
  );
  run.dispose();
  backend.close();
}

if (import.meta.main) {
  const [folder = "embedded/model", texts = "40000", threads = "2"] = Deno.args;
  await pretrain(folder, Number(texts), Number(threads));
}
