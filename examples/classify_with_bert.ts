/**
 * A classifier of texts on a BERT: an adapter and the new head are trained, the rest is frozen.
 *
 *   deno run --allow-read examples/classify_with_bert.ts [BERT_FOLDER]
 *
 * Without a folder, on a small random BERT, which also learns this toy task.
 */
import { adapt, compose, freshModel, graft, headModules, houlsby, layerNormTune } from "@graft/peft";
import { loadModel, modulesToSave, smallConfig, wasm } from "@graft/peft";
import { taskConfig } from "@graft/peft/models";
import { labelledRows, predict, predictionScores, startTraining } from "@graft/peft/train";

const names = ["complaint", "praise"];
const words = [["broken", "late", "angry", "refund"], ["great", "thank you", "happy", "perfect"]];
const examples = Array.from({ length: 64 }, (_, i) => ({
  kind: "class" as const,
  label: names[i % 2]!,
  text: `my order ${i} was ${words[i % 2]![(i >> 1) % 4]}`,
}));

const backend = await wasm();
const { tokenizer } = await loadModel("embedded/model", { backend });
const task = { kind: "classify", names } as const;
const small = taskConfig(smallConfig("bert", { width: 64, heads: 4, vocabulary: 4096 }), task);
const model = Deno.args[0] === undefined
  ? freshModel(small, { backend, key: 0, deviation: 0.3, tokenizer }) // 0.02 gives all texts nearly the same states
  : await loadModel(Deno.args[0], { backend, task });

const method = compose({
  adapters: houlsby({ reduction: 4 }),
  norms: layerNormTune(),
  head: modulesToSave({ modules: headModules(model) }),
});
const rows = labelledRows(examples, model.tokenizer, { maxLength: 32, names });
const pad = model.tokenizer.pad ?? 0;
const batching = { kind: "buckets", batchSize: 16 } as const;
const options = { learningRate: 1e-2, batching, epochs: 8, pad };
const run = await startTraining(model, adapt(model, method), rows, options);
for (let report = await run.next(); report; report = await run.next()) {
  if (report.step % 8 === 0) console.log(`step ${report.step}: loss ${report.loss.toFixed(3)}`);
}
const found = await predict(graft(model, run.adapter()), rows, { batchSize: 16, pad });
console.log(predictionScores("class", found, names.length));
backend.close();
