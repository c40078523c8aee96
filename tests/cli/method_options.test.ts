/** Options that choose between a paper's form of a method and its released code's, through the command line and back. */
import assert from "node:assert/strict";
import { openSafetensors } from "../../formats/safetensors.ts";
import { finetuned, loadedLoss } from "./in_process.ts";
import { temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

const sizesIn = (path: string): Readonly<Record<string, number>> => {
  const file = openSafetensors(`${path}/adapter_model.safetensors`);
  const found = [...file.tensors.values()].map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]);
  file.close();
  return Object.fromEntries(found);
};

Deno.test("graft finetune --method intrinsic-said has a scale for each layer where it is told so", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const run = { model, data, method: "intrinsic-said", dimension: 9, learningRate: 0.02 } as const;
  await assert.rejects(
    finetuned({ ...run, output: `${folder.path}/tensors` }),
    /above the \d+ scales of the tensors but found 9; with scales "layer" there are 4/,
  );
  const output = `${folder.path}/layers`;
  const { trainable, evaluations } = await finetuned({ ...run, output, options: { scales: "layer" } });
  assert.equal(trainable, 9);
  const names = ["entrance", "0", "1", "end"].map((layer) => `scales.decoder.${layer}`);
  assert.deepEqual(sizesIn(output), { v: 5, ...Object.fromEntries(names.map((name) => [name, 1])) });
  const { graft } = JSON.parse(Deno.readTextFileSync(`${output}/adapter_config.json`));
  assert.equal(graft.config.scales, "layer");
  const after = evaluations.at(-1)!.loss;
  assert.ok(Math.abs(await loadedLoss(model, data, output, 2) - after) <= 1e-6 * after);
});

Deno.test("graft finetune --method diff-pruning has the paper's penalty where it is told so", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  let runs = 0;
  /** The kept differences where the penalty decides which gates are open. */
  const kept = async (penalty?: string): Promise<Uint8Array> => {
    const output = `${folder.path}/run${++runs}`;
    const options = {
      ratio: 0.05,
      sparsity: 1e-3,
      gateRate: 0.2,
      initialAlpha: 0.5,
      ...penalty !== undefined && { penalty },
    };
    const { evaluations } = await finetuned({
      ...{ model, data, output, options },
      ...{ method: "diff-pruning", learningRate: 0.02, maxSteps: 5 },
    });
    const after = evaluations.at(-1)!.loss;
    assert.ok(Math.abs(await loadedLoss(model, data, output, 2) - after) <= 1e-6 * after);
    return Deno.readFileSync(`${output}/adapter_model.safetensors`);
  };
  const [standard, sum, product] = [await kept(), await kept("sum"), await kept("product")];
  assert.deepEqual(standard, sum);
  assert.notDeepEqual(product, sum);
  await assert.rejects(kept("expected"), /"penalty" to be "sum" or "product" but found "expected"/);
});
