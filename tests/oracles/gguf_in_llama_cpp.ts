/**
 * Writes models, merged models and adapters as GGUF for gguf_in_llama_cpp.py, with what we compute of them.
 *
 *   deno run -A tests/oracles/gguf_in_llama_cpp.ts FOLDER [MODEL [ROUNDING]]
 *
 * Without MODEL: small random Llama, Qwen2, Qwen3, SmolLM3, Gemma and GPT-2 models with a byte-level tokenizer trained here. With it (a folder or
 * a GGUF file): that model with a LoRA of all linear layers, trained a few steps on the embedded conversations; ROUNDING is
 * the dtype that most of its weights have in the file.
 */
import {
  type Adapter,
  dispose,
  forward,
  generateIds,
  graft,
  key,
  merge,
  type Model,
  type ModelConfig,
  read,
} from "../../core/mod.ts";
import { trainBpe } from "../../embedded/bpe.ts";
import { corpus } from "../../embedded/corpus.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { saveModel } from "../../io/save_model.ts";
import { adapt, freshModel, lora, type LoraOptions, wasm } from "../../mod.ts";
import { roundedInputs } from "../support/rounded_inputs.ts";
import { openExamples, rowsOf, startTraining } from "../../train/mod.ts";

const PROMPTS = [
  "The capital of France is",
  "Anna: Hi, shall we meet at 10:30 on Monday?\nBen:",
  "Once upon a time",
];
const LONGER = [
  "<|im_start|>user\nSummarize: the parcel came late and the box was open, the shop sends a new one.<|im_end|>\n" +
  "<|im_start|>assistant\n",
  "Water boils at a temperature of",
];
const [SHORT, LONG] = [24, 64]; // greedy tokens of a random model, and of one that can write
const SPECIAL = ["<|endoftext|>", "<|user|>", "<|assistant|>"];

const [folder, given, rounds = "f32"] = Deno.args as [string, string | undefined, string | undefined];
const backend = await wasm({ threads: 1 });
Deno.mkdirSync(folder, { recursive: true });
const cases: unknown[] = [];

/** What we make of a model: ids, the logits after the prompt, and the greedy continuation. */
async function ours(model: Model<Tokenizer>): Promise<readonly unknown[]> {
  const prompts = given === undefined ? PROMPTS : [...PROMPTS, ...LONGER];
  const all = prompts.map((prompt) => model.tokenizer.encode(prompt));
  const made = await generateIds(model, all, { maxNewTokens: given === undefined ? SHORT : LONG });
  const rows = [];
  for (const [i, prompt] of prompts.entries()) {
    const ids = all[i]!;
    const { logits } = forward(model, { inputIds: [ids], attentionMask: [ids.map(() => 1)] });
    const numbers = await read(logits);
    const last = [...numbers.slice(numbers.length - logits.shape[2]!)];
    logits.storage.free();
    rows.push({ prompt, ids, last, made: made[i]!, text: model.tokenizer.decode(made[i]!) });
  }
  return rows;
}

/** A LoRA of all linear layers after a few steps. */
async function trained(model: Model<Tokenizer>): Promise<Adapter> {
  using examples = await openExamples("embedded/handwritten.jsonl");
  const rows = rowsOf(examples, model.tokenizer, { maxLength: 192, longPrompt: { keep: "head" } });
  const start = adapt(model, lora({ rank: 8, alpha: 16, targets: "all-linear" }), 1);
  const run = await startTraining(model, start, rows, {
    learningRate: 1e-3,
    batching: { kind: "buckets", batchSize: 2 },
    epochs: 1,
    maxSteps: 12,
    pad: 0,
  });
  for (let report = await run.next(); report; report = await run.next()) {
    console.log(`step ${report.step}: loss ${report.loss.toFixed(3)}`);
  }
  dispose(start.params);
  return run.adapter();
}

async function write(
  name: string,
  source: string,
  make: (base: Model<Tokenizer>) => Adapter | Promise<Adapter>,
): Promise<void> {
  const base = await loadModel(source, { backend, ggufTokenizer: "file" });
  const adapter = await make(base);
  const [model, file] = [`${folder}/${name}.gguf`, `${folder}/${name}-adapter.gguf`];
  const dtype = source.endsWith(".gguf") ? {} : { dtype: "f32" as const };
  await saveModel(model, base, dtype);
  await saveAdapter(file, adapter, base);
  const gelu = name === "gpt2" || name.startsWith("gemma");
  const rounding = gelu ? "gelu" : rounds;
  cases.push({ name, rounding, model, rows: await ours(base) });
  const tuned = graft(base, adapter);
  cases.push({ name: `${name} with adapter`, rounding, model, adapter: file, rows: await ours(tuned) });
  for (const stored of ["f16", "q8_0"] as const) {
    const path = `${folder}/${name}-${stored}.gguf`;
    await saveModel(path, merge(base, adapter, { dtype: "f32" }), { dtype: stored });
    const merged = await loadModel(path, { backend, ggufTokenizer: "file" });
    const rows = await ours(merged);
    const deep = name === "gemma3" && stored === "q8_0"; // seven layers enlarge what is rounded
    cases.push({ name: `${name} merged as ${stored}`, rounding: deep ? "deep" : stored, model: path, rows });
    if (stored === "q8_0" && given === undefined && /^(llama|qwen)/.test(name)) { // GELU is rounded too; many layers part
      const rounded = await ours(roundedInputs(merged));
      cases.push({
        name: `${name} merged as ${stored}, inputs too`,
        rounding: "rounded",
        model: path,
        rows: rounded,
      });
    }
    if (stored === "q8_0") { // the same weights without llama.cpp's rounding of activations
      const decoded = `${folder}/${name}-decoded.gguf`;
      await saveModel(decoded, merged, { dtype: "f32" });
      const exact = gelu ? "gelu" : "f32";
      cases.push({ name: `${name} merged as q8_0, decoded`, rounding: exact, model: decoded, rows });
    }
    merged.dispose();
  }
}

async function fresh(name: string, config: ModelConfig): Promise<string> {
  const path = `${folder}/${name}`;
  const model = freshModel({ ...config, eos_token_id: 0, bos_token_id: 0 }, {
    backend,
    key: 5,
    deviation: 0.15,
  });
  await saveModel(path, model);
  const tokenizer = trainBpe(corpus(key(0), 0, 300), { vocabulary: 600, special: SPECIAL, digits: "single" });
  Deno.writeTextFileSync(`${path}/tokenizer.json`, JSON.stringify(tokenizer));
  Deno.writeTextFileSync(
    `${path}/tokenizer_config.json`,
    JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast", eos_token: SPECIAL[0] }),
  );
  return path;
}

if (given !== undefined) {
  await write("model", given, trained);
} else {
  const llama: ModelConfig = {
    model_type: "llama",
    vocab_size: 600,
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
  };
  const options = { rank: 3, alpha: 6, initialization: "none", scaling: "rankStabilized" } as const;
  const targets = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj"];
  const random = (more: LoraOptions) => (base: Model) => adapt(base, lora({ ...options, ...more }), 1);
  await write(
    "llama",
    await fresh("llama", llama),
    random({
      targets: [...targets, "embed_tokens", "lm_head"],
      rankPattern: { "model\\.layers\\.1\\..*": 5 },
    }),
  );
  const qwen2 = { ...llama, model_type: "qwen2", tie_word_embeddings: true };
  await write("qwen2", await fresh("qwen2", qwen2), random({ targets }));
  const qwen3 = { ...llama, model_type: "qwen3", head_dim: 32, tie_word_embeddings: true };
  await write("qwen3", await fresh("qwen3", qwen3), random({ targets }));
  const smollm3 = { ...llama, model_type: "smollm3", num_hidden_layers: 5, tie_word_embeddings: true };
  await write("smollm3", await fresh("smollm3", smollm3), random({ targets }));
  const gemma = { ...llama, model_type: "gemma", head_dim: 32, tie_word_embeddings: true };
  await write("gemma", await fresh("gemma", gemma), random({ targets }));
  const gemma3 = {
    ...{
      ...gemma,
      model_type: "gemma3_text",
      num_hidden_layers: 7,
      sliding_window: 8,
      query_pre_attn_scalar: 32,
    },
    rope_scaling: { rope_type: "linear", factor: 2 },
  };
  await write("gemma3", await fresh("gemma3", gemma3), random({ targets }));
  const gpt2 = { model_type: "gpt2", vocab_size: 600, n_embd: 64, n_head: 4, n_layer: 2, n_positions: 128 };
  await write("gpt2", await fresh("gpt2", gpt2), random({ targets: "all-linear" }));
}
Deno.writeTextFileSync(`${folder}/cases.json`, JSON.stringify(cases));
backend.close();
