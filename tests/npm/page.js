/** What a page does with the package: a product, a training in a worker with its progress, a text, and what a page lacks. */
import { adapt, count, forward, freshModel, graft, lora, read, smallConfig, wasm } from "@graft/peft";
import { loadModel } from "@graft/peft";
import { generateInWorker, trainInWorker } from "@graft/peft/worker";

const bytes = async (name) => new Uint8Array(await (await fetch(`model/${name}`)).arrayBuffer());
const json = async (name) => await (await fetch(`model/${name}`)).json();

/** @param program What starts the worker's program, which bundlers name each in their own way. */
export async function onPage(program) {
  const backend = await wasm();
  const small = freshModel(smallConfig("llama"), { backend, key: 0 });
  const adapter = adapt(small, lora({ rank: 4 }));
  const { logits } = forward(graft(small, adapter), { inputIds: [[1, 2, 3]] });
  const model = {
    config: await json("config.json"),
    weights: await bytes("model.safetensors"),
    tokenizer: await json("tokenizer.json"),
    tokenizerConfig: await json("tokenizer_config.json"),
  };
  const training = trainInWorker({
    model,
    method: lora({ rank: 4 }),
    data: { records: [{ prompt: "customer: hello", completion: " agent: good morning" }], maxLength: 64 },
    training: { learningRate: 5e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 4 },
  }, { program });
  const losses = [];
  for await (const { loss } of training) losses.push(loss);
  const texts = generateInWorker(
    { model, adapter: await training.result, prompts: ["customer: hello"], maxNewTokens: 6 },
    { program },
  );
  const found = {
    trainable: count(small, adapter).trainable,
    numbers: (await read(logits)).length,
    losses,
    texts: await texts.result,
    isolated: globalThis.crossOriginIsolated,
    refused: await loadModel("folder", { backend }).catch(({ message }) => message),
  };
  backend.close();
  return found;
}
