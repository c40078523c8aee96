/**
 * Fine-tunes a model on your own examples, and saves an adapter that Python PEFT reads.
 *
 *   deno run --allow-read --allow-write examples/tune_your_data.ts [MODEL] [DATA.jsonl] [FOLDER] [STEPS]
 *
 * A line of the data: {"dialogue", "summary"}, {"prompt", "completion"} or {"messages"}.
 */
import { adapt, dispose, loadModel, lora, saveAdapter, wasm } from "@graft/peft";
import { cosine, openExamples, rowsOf, startTraining } from "@graft/peft/train";

const [source = "embedded/model", data = "embedded/handwritten.jsonl", folder = "my-adapter", steps = "4"] =
  Deno.args;

const backend = await wasm();
const model = await loadModel(source, { backend });
using examples = await openExamples(data);
const rows = rowsOf(examples, model.tokenizer, { maxLength: 256, longPrompt: { keep: "head" } });

const start = adapt(model, lora({ rank: 8, targets: "all-linear" }));
const run = await startTraining(model, start, rows, {
  learningRate: 8e-3, // for such a small model; 2e-4 suits one of a billion parameters
  schedule: cosine({ totalSteps: Number(steps), warmUp: 1 }),
  batching: { kind: "buckets", batchSize: 2 },
  epochs: 100,
  maxSteps: Number(steps),
  clip: 1,
  pad: model.tokenizer.pad ?? model.tokenizer.eos ?? 0,
});
for (let report = await run.next(); report; report = await run.next()) {
  console.log(`step ${report.step}: loss ${report.loss.toFixed(3)}`);
}
await saveAdapter(folder, run.adapter(), model);
console.log(`saved ${folder}`);

run.dispose();
dispose(start.params);
backend.close();
