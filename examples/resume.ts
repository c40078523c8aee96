/**
 * A run that is stopped halfway, saved, and resumed from the file: bit-identical to an uninterrupted run.
 *
 *   deno run --allow-read --allow-write examples/resume.ts
 */
import { adapt, bytesOf, leaves, loadModel, lora, wasm } from "@graft/peft";
import { openTrainingState, saveTrainingState } from "@graft/peft/io";
import { adamw, openExamples, type Resume, rowsOf, startTraining, type Training } from "@graft/peft/train";

const backend = await wasm();
const model = await loadModel("embedded/model", { backend });
using examples = await openExamples("embedded/handwritten.jsonl");
const rows = rowsOf(examples, model.tokenizer, { maxLength: 96, longPrompt: { keep: "head" } });
const batching = { kind: "buckets", batchSize: 2 } as const;
const started = (resume?: Resume) =>
  startTraining(model, adapt(model, lora({ rank: 4, dropout: 0.1 })), rows, {
    learningRate: 1e-3,
    batching,
    maxSteps: 4,
    pad: model.tokenizer.pad ?? 0,
  }, resume);
const steps = async (run: Training<never>, to: number): Promise<void> => {
  while (run.step < to) await run.next();
};

const unbroken = await started();
await steps(unbroken as Training<never>, 4);

const first = await started();
await steps(first as Training<never>, 2);
await saveTrainingState("run.safetensors", first.snapshot(), adamw(), {});
first.dispose(); // as if the machine had been turned off

using saved = openTrainingState("run.safetensors");
const second = await started({
  step: saved.step,
  params: saved.params(backend),
  slots: saved.slots,
  state: saved.state(backend),
});
await steps(second as Training<never>, 4);

const bytes = async (run: typeof unbroken) =>
  (await Promise.all(leaves(run.adapter().params).map(([, t]) => bytesOf(t)))).map(String).join();
if (await bytes(unbroken) !== await bytes(second)) throw new Error("the two runs differ");
console.log("stopped after 2 steps and continued to 4: the same bits as 4 steps at once");
backend.close();
