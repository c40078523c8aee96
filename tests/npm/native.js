/** A loss and a text on the backend that fits; prints which it is and what must be the same in every runtime. */
import process from "node:process";
import { adapt, auto, generate, loadModel, lora, lossAndGrad } from "@graft/peft";

const backend = await auto({ threads: 2, onChoice: console.log });
const model = await loadModel(process.argv[2] ?? "model", { backend });
const inputIds = [model.tokenizer.encode("customer: my parcel is late, where is it?")];
const { loss } = await lossAndGrad(model, adapt(model, lora({ rank: 4 }), 3), { inputIds, labels: inputIds });
console.log(backend.name, backend.kernels, loss);
console.log(JSON.stringify(await generate(model, "customer:", { maxNewTokens: 8 })));
backend.close();
