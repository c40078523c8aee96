/** Twenty steps of LoRA with dropout and a cosine schedule, saved and loaded again; prints what must be the same in every runtime. */
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import process from "node:process";
import {
  adapt,
  bytesOf,
  generate,
  graft,
  leaves,
  loadAdapter,
  loadModel,
  lora,
  saveAdapter,
  wasm,
} from "@graft/peft";
import { cosine, startTraining } from "@graft/peft";
import { textRows } from "@graft/peft/train";

const backend = await wasm({ threads: 2 });
const model = await loadModel(process.argv[2] ?? "model", { backend });
const hash = async (tree) => {
  const sum = createHash("sha256");
  for (const [path, leaf] of leaves(tree)) sum.update(path).update(await bytesOf(leaf));
  return sum.digest("hex");
};
const text = Array.from(
  { length: 40 },
  (_, i) => `Order ${i} of ${i * 7} jackets came late, so the shop paid ${i} euros back.`,
);
const rows = textRows([text.join(" ")], model.tokenizer, 24);
const adapter = adapt(model, lora({ rank: 4, dropout: 0.1 }), 5);
const run = await startTraining(model, adapter, rows, {
  learningRate: 5e-3,
  epochs: 4,
  maxSteps: 20,
  batching: { kind: "buckets", batchSize: 4 },
  schedule: cosine({ warmUp: 2, totalSteps: 20 }),
  pad: 0,
});
for (let report = await run.next(); report; report = await run.next()) console.log(report.step, report.loss);
const trained = run.adapter();
console.log(await hash(trained.params));
await saveAdapter("adapter", trained, model, { format: "peft" });
const loaded = await loadAdapter("adapter", model);
rmSync("adapter", { recursive: true });
console.log(await hash(loaded.params));
const sampler = { temperature: 0.8, topP: 0.95 };
console.log(
  JSON.stringify(await generate(graft(model, loaded), "The order", { maxNewTokens: 24, key: 3, sampler })),
);
backend.close();
