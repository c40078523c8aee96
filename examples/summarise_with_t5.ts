/**
 * Summaries with an encoder-decoder model: a T5 with LoRA.
 *
 *   deno run --allow-read examples/summarise_with_t5.ts [T5_FOLDER]
 *
 * Without a folder, a small random T5: it shows how, but writes nonsense.
 */
import { adapt, freshModel, generate, graft, loadModel, lora, wasm } from "@graft/peft";
import { openExamples, seq2seqRows, startTraining } from "@graft/peft/train";

const backend = await wasm();
const { tokenizer } = await loadModel("embedded/model", { backend });
const config = {
  model_type: "t5",
  vocab_size: 4096,
  d_model: 48,
  num_heads: 4,
  d_kv: 12,
  d_ff: 96,
  num_layers: 2,
  relative_attention_num_buckets: 8,
  relative_attention_max_distance: 64,
  decoder_start_token_id: 0,
};
const model = Deno.args[0] === undefined
  ? freshModel(config, { backend, key: 0, tokenizer })
  : await loadModel(Deno.args[0], { backend });

using file = await openExamples("embedded/handwritten.jsonl", { instruction: "summarize:" });
const examples = Array.from({ length: 16 }, (_, n) => file.example(n));
const rows = seq2seqRows(examples, model.tokenizer, { maxLength: 128, maxAnswerLength: 96 });
const pad = model.tokenizer.pad ?? 0;
const batching = { kind: "buckets", batchSize: 4 } as const;
const run = await startTraining(model, adapt(model, lora({ rank: 8, targets: "all-linear" })), rows, {
  learningRate: 1e-2,
  batching,
  epochs: 2,
  pad,
});
for (let report = await run.next(); report; report = await run.next()) {
  console.log(`step ${report.step}: loss ${report.loss.toFixed(3)}`);
}
console.log(
  await generate(graft(model, run.adapter()), "summarize: customer: where is my parcel?", {
    maxNewTokens: 12,
  }),
);
backend.close();
