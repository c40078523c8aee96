/**
 * An adapter for a GGUF model, as a file that llama.cpp loads along with it.
 *
 *   deno run --allow-read --allow-write examples/gguf_adapter.ts [MODEL.gguf]
 *
 * Without a model, the embedded one is written as a GGUF file first.
 */
import { adapt, dora, loadModel, lora, quantize, saveAdapter, saveModel, wasm } from "@graft/peft";

const backend = await wasm();
let [path] = Deno.args;
if (path === undefined) {
  path = "model.gguf";
  await saveModel(path, quantize(await loadModel("embedded/model", { backend }), { dtype: "q8_0" }));
}

const model = await loadModel(path, { backend }); // the weights stay quantized, the adapter is trained on top
const adapter = adapt(model, lora({ rank: 8, targets: "all-linear" })); // train it as in tune_your_data.ts
await saveAdapter("adapter.gguf", adapter, model);
console.log(`llama-cli -m ${path} --lora adapter.gguf -p "customer: my parcel is late"`);

// llama.cpp supports only LoRA. Any mergeable method is written as LoRA, here to within 5 % of its update.
const other = adapt(model, dora({ rank: 4, initialization: "none" }));
await saveAdapter("dora.gguf", other, model, { lora: { error: 0.05 } });
console.log("dora.gguf holds a DoRA as LoRA");
backend.close();
