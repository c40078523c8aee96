/** Times of one runtime: from nothing to a first product on WASM, and twenty steps of LoRA; prints JSON. `node in_runtime.js MODEL` */
import { createHash } from "node:crypto";
import process from "node:process";

/** Milliseconds of the processor's time so far: of all threads, and of what the runtime did before the program. */
const computed = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const start = performance.now();
const { adapt, bytesOf, leaves, loadModel, lora, read, startTraining, tensor, wasm } = await import(
  "@graft/peft"
);
const { matmul } = await import("@graft/peft/ops");
const imported = performance.now();
const backend = await wasm({ threads: 1 }); // a thread that waits computes, too
const x = tensor([[1, 2], [3, 4]], { backend });
await read(matmul(x, x));
const first = performance.now();
const firstComputed = computed();

const { textRows } = await import("@graft/peft/train");
const model = await loadModel(process.argv[2], { backend });
const text = Array.from({ length: 60 }, (_, i) => `Order ${i} of ${i * 7} jackets came ${i} days late.`);
const rows = textRows([text.join(" ")], model.tokenizer, 96);
const batching = { kind: "buckets", batchSize: 4 };
const options = { learningRate: 5e-3, epochs: 20, maxSteps: 20, batching, pad: 0 };
const run = await startTraining(
  model,
  adapt(model, lora({ rank: 8, targets: "all-linear" }), 5),
  rows,
  options,
);
const began = performance.now();
const beganComputed = computed();
while (await run.next());
const trained = performance.now() - began;
const trainedComputed = computed() - beganComputed;
const hash = createHash("sha256");
for (const [path, leaf] of leaves(run.adapter().params)) hash.update(path).update(await bytesOf(leaf));
backend.close();
console.log(JSON.stringify({
  imported: imported - start,
  first: first - start,
  firstComputed,
  trained,
  trainedComputed,
  hash: hash.digest("hex").slice(0, 16),
}));
