/** Trains, writes, is aborted and fails in a worker; prints what must be the same in every runtime. */
import process from "node:process";
import { errorCode, lora } from "@graft/peft";
import { generateInWorker, trainInWorker } from "@graft/peft/worker";

const model = process.argv[2] ?? "model";
const backend = { name: "wasm", threads: 2 };
const records = Array.from({ length: 8 }, (_, i) => ({
  prompt: `customer: where are my ${i + 2} jackets?`,
  completion: `agent: they arrive in ${i + 1} days`,
}));
const run = {
  model,
  method: lora({ rank: 4, dropout: 0.1 }),
  data: { records, maxLength: 64 },
  training: {
    learningRate: 5e-3,
    schedule: { kind: "cosine", warmUp: 2 },
    batching: { kind: "buckets", batchSize: 4 },
    epochs: 1000,
    maxSteps: 6,
    seed: 5,
  },
  backend,
};
const training = trainInWorker(run);
let ticks = 0;
const timer = setInterval(() => ticks++, 1);
for await (const { step, totalSteps, loss } of training) console.log(step, totalSteps, loss);
clearInterval(timer);
const adapter = await training.result;
console.log(Object.keys(adapter.params).length, ticks > 0 ? "awake" : "blocked");

const prompts = ["customer: hello", "agent: your order"];
const texts = generateInWorker({ model, adapter, prompts, maxNewTokens: 12, backend });
const pieces = ["", ""];
for await (const { row, text } of texts) pieces[row] += text;
console.log(JSON.stringify(pieces) === JSON.stringify(await texts.result));

const stop = new AbortController();
const long = trainInWorker({ ...run, training: { ...run.training, maxSteps: 1000 } }, {
  signal: stop.signal,
});
try {
  for await (const { step } of long) if (step === 2) stop.abort("enough");
} catch (reason) {
  console.log(reason, await long.result.catch((reason) => reason));
}
const missing = trainInWorker({ ...run, model: "no/such/folder" });
console.log(await missing.result.catch((error) => `${error.constructor.name} ${errorCode(error)}`));
console.log(JSON.stringify(await texts.result));
