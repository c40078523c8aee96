/** Two versions of the package in one process: each trains on a backend of its own, and refuses the other's tensors. */
import * as now from "@graft/peft";
import { matmul } from "@graft/peft/ops";

const other = "graft-before"; // which only a project with two versions has
const before = await import(other);

const losses = [];
for (const { freshModel, smallConfig, wasm, adapt, lora, lossAndGrad } of [now, before]) {
  const backend = await wasm({ threads: 2 });
  const model = freshModel(smallConfig("llama"), { backend, key: 0 });
  const inputIds = [[1, 2, 3, 4]];
  const { loss } = await lossAndGrad(model, adapt(model, lora({ rank: 2 }), 1), {
    inputIds,
    labels: inputIds,
  });
  losses.push(loss);
}
console.log(losses[0] === losses[1], Number.isFinite(losses[0]));
const [first, second] = [await now.wasm({ threads: 1 }), await before.wasm({ threads: 1 })];
try {
  matmul(now.tensor([[1]], { backend: first }), before.tensor([[1]], { backend: second }));
  console.log("mixed");
} catch (error) {
  console.log(error.message);
}
