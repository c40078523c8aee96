/**
 * A classifier of texts on a BERT: an adapter and the new head train, the rest is frozen.
 *
 *   deno run --allow-read examples/classify_with_bert.ts [BERT_FOLDER]
 *
 * Without a folder, on a small random BERT, which learns this toy task all the same.
 */
import {
  adapt,
  compose,
  freshModel,
  graft,
  headModules,
  houlsby,
  layerNormTune,
  loadModel,
  modulesToSave,
  wasm,
} from "@graft/peft";
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
const config = {
  model_type: "bert",
  vocab_size: 4096,
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 128,
  max_position_embeddings: 64,
  type_vocab_size: 2,
};
const task = { kind: "classify", names } as const;
const model = Deno.args[0] === undefined
  ? freshModel(taskConfig(config, task), {
    backend,
    key: 0,
    deviation: 0.3, // with small numbers a random BERT gives all texts the same states
    tokenizer,
  })
  : await loadModel(Deno.args[0], { backend, task });

const rows = labelledRows(examples, model.tokenizer, { maxLength: 32, names });
const method = compose({
  adapters: houlsby({ reduction: 4 }),
  norms: layerNormTune(),
  head: modulesToSave({ modules: headModules(model) }),
});
const pad = model.tokenizer.pad ?? 0;
const batching = { kind: "buckets", batchSize: 16 } as const;
const run = await startTraining(model, adapt(model, method), rows, {
  learningRate: 1e-2,
  batching,
  epochs: 8,
  pad,
});
for (let report = await run.next(); report; report = await run.next()) {
  if (report.step % 8 === 0) console.log(`step ${report.step}: loss ${report.loss.toFixed(3)}`);
}
const found = await predict(graft(model, run.adapter()), rows, { batchSize: 16, pad });
console.log(predictionScores("class", found, names.length));
backend.close();
