/**
 * A model in fewer bits: how much its weights change, what that costs in loss, and how much an adapter on top
 * recovers.
 *
 *   deno run --allow-read examples/quantize_and_compare.ts
 */
import { jointError, loadModel, quantizationErrors, quantize, wasm, weightBytes } from "@graft/peft";
import { heldOutLoss, openExamples, textRows } from "@graft/peft/train";

const backend = await wasm();
const model = await loadModel("embedded/model", { backend });
using examples = await openExamples("embedded/handwritten.jsonl");
const texts = Array.from({ length: 4 }, (_, n) => examples.example(n).body ?? "");
const rows = textRows(texts, model.tokenizer, 128);
const options = { batchSize: 4, pad: model.tokenizer.pad ?? 0 };

const { loss } = await heldOutLoss(model, rows, options);
console.log(`as stored   ${(weightBytes(model) / 1e6).toFixed(2)} MB  loss ${loss.toFixed(4)}`);
for (const dtype of ["int8", "nf4_double", "fp4"] as const) {
  const small = quantize(model, { dtype });
  const { rms, weightRms } = jointError(await quantizationErrors(model, { dtype }));
  const { loss } = await heldOutLoss(small, rows, options);
  const size = `${(weightBytes(small) / 1e6).toFixed(2)} MB`;
  console.log(
    `${dtype.padEnd(11)} ${size}  loss ${loss.toFixed(4)}  error ${(100 * rms / weightRms).toFixed(2)} %`,
  );
  small.dispose();
}
backend.close();
