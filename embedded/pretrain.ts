/**
 * `deno task pretrain`: trains the embedded default model from scratch, with the project's own trainer, on conversations
 * that the project generates. Writes `embedded/model/` (config.json, model.safetensors in f16, tokenizer files).
 *
 * The texts show conversations, as plain text and as chats, and requests to copy from one (`copying.ts`); never a summary.
 */
import { adapt, type Backend, fold, key, type Model, type ModelConfig } from "../core/mod.ts";
import { type Tokenizer, tokenizer as makeTokenizer } from "../formats/tokenizer.ts";
import { saveModel } from "../io/save_model.ts";
import { merge } from "../core/adapters/merge.ts";
import { fullFineTune } from "../methods/selective/full_fine_tune.ts";
import { freshModel } from "../models/fresh.ts";
import { wasm } from "../ops/wasm/mod.ts";
import {
  adamw,
  cosine,
  countSteps,
  heldOutLoss,
  pickRows,
  resident,
  type Rows,
  startTraining,
} from "../train/mod.ts";
import { finishLine, listFacts, repeatFacts, repeatLines } from "./copying.ts";
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

/**
 * Text number `index` as presented to the model: a conversation, a chat, a paragraph, or a request to copy
 * from one.
 */
export function trainingText(index: number): string {
  const text = pretrainingText(key(SEED), index);
  const own = fold(fold(key(SEED), "copying"), index);
  if (!text.includes("\n")) return index % 2 === 0 ? text : repeatFacts(own);
  switch (index % 10) {
    case 0:
    case 1:
      return text;
    case 2:
    case 3:
      return asChat(text);
    case 4:
    case 5:
    case 6:
      return repeatLines(text, own);
    case 7:
      return finishLine(text, own);
    default:
      return listFacts(text, own);
  }
}

/** The texts, each a separate row that ends with the end token; each token except the first is a target. */
function rowsOfTexts(tokenizer: Tokenizer, from: number, to: number): Rows {
  const starts = new Uint32Array(to - from + 1);
  const ids: number[] = [];
  for (let i = from; i < to; i++) {
    ids.push(...tokenizer.encode(trainingText(i)), tokenizer.eos!);
    starts[i - from + 1] = ids.length;
  }
  const stream = Uint16Array.from(ids);
  const lengths = Uint32Array.from({ length: to - from }, (_, n) => starts[n + 1]! - starts[n]!);
  return {
    count: to - from,
    lengths,
    targets: lengths.map((length) => length - 1),
    tokens: (n) => {
      const inputIds = [...stream.subarray(starts[n], starts[n + 1])];
      return { inputIds, labels: inputIds };
    },
  };
}

const tokensOf = (rows: Rows): number => Array.from(rows.lengths).reduce((sum, length) => sum + length, 0);

/** Options of `pretrained`. */
export interface Pretraining {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly backend: Backend;
  /** Number of texts, each read once. */
  readonly texts: number;
  /** Called occasionally with a line of progress. */
  note(line: string): void;
}

/** A model trained from scratch on the first texts, in f16. The same arguments give bit-identical results. */
export async function pretrained({ config, tokenizer, backend, texts, note }: Pretraining): Promise<Model> {
  const started = performance.now();
  const rows = rowsOfTexts(tokenizer, 0, texts);
  const heldOut = rowsOfTexts(tokenizer, 10_000_000, 10_000_300);
  note(`corpus: ${texts} texts, ${tokensOf(rows)} tokens; held out: ${tokensOf(heldOut)}`);
  const model = freshModel(config, { backend, key: SEED, tokenizer, deviation: 0.05 });
  const batching = { kind: "packing", batchSize: BATCH, maxLength: LENGTH } as const;
  const totalSteps = countSteps(rows, { batching, key: key(SEED) }, 1);
  const run = await startTraining(model, adapt(model, fullFineTune()), rows, {
    learningRate: 4e-3,
    schedule: cosine({ totalSteps, warmUp: Math.min(100, Math.ceil(totalSteps / 20)), minimum: 0.02 }),
    moments: (params) => resident(adamw({ beta2: 0.95, weightDecay: 0.05 }), params),
    batching,
    maxSteps: totalSteps,
    clip: 1,
    seed: SEED,
    pad: 0,
  });
  for (let report = await run.next(); report; report = await run.next()) {
    if (report.step % 50 !== 0 && report.step !== totalSteps) continue;
    const seconds = (performance.now() - started) / 1000;
    note(`step ${report.step}/${totalSteps}  loss ${report.loss.toFixed(3)}  ${seconds.toFixed(0)} s`);
  }
  const trained = merge(model, run.adapter(), { dtype: "f16" });
  run.dispose();
  const { loss } = await heldOutLoss(trained, pickRows(heldOut, [...Array(heldOut.count).keys()]), {
    batchSize: BATCH,
    pad: 0,
  });
  note(`held-out loss ${loss.toFixed(3)} a token, perplexity ${Math.exp(loss).toFixed(2)}`);
  return trained;
}

/** Pretrains and saves. `texts` sets how long it takes: about 3,000 tokens per second on two cores. */
async function pretrain(folder: string, texts: number, threads: number): Promise<void> {
  const json = trainTokenizer(SEED, Math.min(texts, 12_000));
  const tokenizer = makeTokenizer({ tokenizer: json, config: TOKENIZER_CONFIG });
  const note = (line: string): void => console.log(line);
  note(`tokenizer: ${tokenizer.vocabSize} tokens, ${SPECIAL.length} special`);
  const backend = await wasm({ threads });
  const model = await pretrained({ config: CONFIG, tokenizer, backend, texts, note });
  await saveModel(folder, model);
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
  await Deno.writeTextFile(
    `${folder}/tokenizer_config.json`,
    JSON.stringify(TOKENIZER_CONFIG, null, 2) + "\n",
  );
  backend.close();
}

if (import.meta.main) {
  const [folder = "embedded/model", texts = "40000", threads = "2"] = Deno.args;
  await pretrain(folder, Number(texts), Number(threads));
}
