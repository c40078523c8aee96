/**
 * Merges two adapters of one model into one, and then into the weights.
 *
 *   deno run --allow-read --allow-write examples/merge_two_adapters.ts
 */
import {
  adapt,
  type Adapter,
  combine,
  forward,
  graft,
  loadModel,
  lora,
  merge,
  type Model,
  read,
  saveModel,
  wasm,
} from "@graft/peft";

const backend = await wasm();
const model = await loadModel("embedded/model", { backend });
const [first, second] = [1, 2].map((seed) =>
  adapt(model, lora({ rank: 4, targets: ["q_proj", "v_proj"], initialization: "none" }), seed)
) as [Adapter, Adapter]; // stand-ins for two trained adapters: loadAdapter("folder", model)

const exact = await combine(model, [first, second], [0.5, 0.5]); // ranks add up, nothing is lost
const voted = await combine(model, [first, second], [0.5, 0.5], {
  method: "ties",
  density: 0.2,
  limit: { rank: 8 },
});
console.log(`side by side: error ${exact.error}; TIES cut to rank 8: error ${voted.error.toFixed(3)}`);

const merged = merge(model, exact.adapter); // a plain model, no overhead
const scores = async (model: Model): Promise<Float32Array> =>
  new Float32Array(await read(forward(model, { inputIds: [model.tokenizer.encode("agent: hello")] }).logits));
const [one, two] = [await scores(graft(model, exact.adapter)), await scores(merged)];
console.log(
  `largest difference of a score: ${Math.max(...one.map((x, i) => Math.abs(x - two[i]!))).toExponential(1)}`,
);
await saveModel("merged", merged);
backend.close();
