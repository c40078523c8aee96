/**
 * Rows of one batch, each with its own adapter; the base's weights are read once.
 *
 *   deno run --allow-read examples/per_row_adapters.ts
 */
import {
  adapt,
  forward,
  generate,
  graft,
  ia3,
  loadModel,
  lora,
  perRow,
  prefixTuning,
  read,
  wasm,
} from "@graft/peft";

const backend = await wasm();
const model = await loadModel("embedded/model", { backend });
const adapters = {
  bank: adapt(model, lora({ rank: 4, initialization: "none" }), 1),
  travel: adapt(model, prefixTuning({ length: 4, network: "none" }), 2),
  polite: adapt(model, ia3()),
};
const many = graft(model, perRow(adapters));

const ids = model.tokenizer.encode("customer: hello, I have a question about");
const rows = ["bank", "travel", null, "polite"];
const { logits } = forward(many, { inputIds: rows.map(() => ids), rows });
const all = await read(logits);
const size = all.length / rows.length;
for (const [i, name] of rows.entries()) {
  const last = all.subarray((i + 1) * size - logits.shape[2]!, (i + 1) * size);
  console.log(`${name ?? "base"}: the likeliest next token scores ${Math.max(...last).toFixed(3)}`);
}
console.log(await generate(many, rows.map(() => "customer: hello"), { maxNewTokens: 6, rows }));
backend.close();
