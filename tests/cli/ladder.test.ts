/** Where `graft finetune --method ladder-side` starts: the base pruned, as in the paper, unless it is told otherwise. */
import assert from "node:assert/strict";
import {
  adapt,
  type Batch,
  dispose,
  leaves,
  lookup,
  lossAndGradients,
  type Model,
  nest,
  read,
  type Tensor,
  tensor,
  type Tree,
} from "../../core/mod.ts";
import { openData, rowLength } from "../../cli/data.ts";
import { padOf } from "../../cli/finetune/evaluation.ts";
import { openModel } from "../../cli/load.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { fullFineTune, prunedSide } from "../../methods/mod.ts";
import { batchOf } from "../../train/mod.ts";
import { DEFAULTS, finetuned } from "./in_process.ts";
import { graft, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

/** The golden Llama's heads are of 6. */
const REDUCTION = 3;

/** Side weights after a step too small to move them. */
async function startOf(
  folder: string,
  options: Readonly<Record<string, string | number>>,
): Promise<Map<string, Float32Array>> {
  const output = Deno.makeTempDirSync({ dir: folder });
  await finetuned({
    model: `${folder}/model`,
    data: `${folder}/data.jsonl`,
    output: `${output}/adapter`,
    method: "ladder-side",
    maxSteps: 1,
    learningRate: 1e-20,
    options: { reduction: REDUCTION, ...options },
  });
  const file = openSafetensors(`${output}/adapter/adapter_model.safetensors`);
  const found = [...file.tensors.values()].filter(({ name }) => name.startsWith("side.")).map((t) =>
    [t.name.slice("side.".length), new Float32Array(t.read().slice().buffer)] as const
  );
  file.close();
  return new Map(found);
}

/** Mean squares of the gradient of −log p of each training example by itself. */
async function fisherOf(folder: string, model: Model): Promise<Tree> {
  const opened = await openModel({ model: `${folder}/model`, backend: "reference" });
  const { tokenizer } = opened.base;
  using data = await openData(
    { ...DEFAULTS, data: `${folder}/data.jsonl` },
    opened.base,
    tokenizer,
    rowLength({}, opened.base),
  );
  const whole = adapt(model, fullFineTune());
  const sums = new Map<string, number[]>();
  for (let i = 0; i < data.train.count; i++) {
    const batch: Batch = batchOf(data.train, { rows: [[i]], targets: 0 }, {
      batching: { kind: "buckets", batchSize: 1 },
      pad: padOf(tokenizer),
    });
    const { value, gradients } = lossAndGradients(model, whole, batch, { labelCount: 1 });
    for (const [path, gradient] of leaves(gradients)) {
      const squares = Array.from(await read(gradient), (g) => g * g / data.train.count);
      sums.set(path, sums.get(path)?.map((x, j) => x + squares[j]!) ?? squares);
    }
    dispose([value, gradients]);
  }
  dispose(whole.params);
  opened.close();
  return nest(
    [...sums].filter(([path]) => path.endsWith("_proj.weight")).map(([path, numbers]) =>
      [
        path,
        tensor(numbers, { backend: model.backend, shape: (lookup(model.weights, path) as Tensor).shape }),
      ] as const
    ),
  ) as Tree;
}

async function assertStartsFrom(found: ReadonlyMap<string, Float32Array>, start: Tree): Promise<void> {
  const wanted = leaves(start);
  assert.deepEqual([...found.keys()].sort(), wanted.map(([path]) => path).sort());
  for (const [path, t] of wanted) assert.deepEqual(found.get(path), await read(t), path);
}

Deno.test("graft finetune --method ladder-side starts from the base pruned by Fisher information, or by magnitude, or fresh", async () => {
  using folder = temporaryFolder();
  tinyModel(folder.path);
  tinyData(folder.path);
  const opened = await openModel({ model: `${folder.path}/model`, backend: "reference" });
  const model = opened.base;
  const byWeights = await prunedSide(model, { reduction: REDUCTION });
  const importance = await fisherOf(folder.path, model);
  const byFisher = await prunedSide(model, { reduction: REDUCTION, importance });
  const [first] = leaves(byFisher);
  assert.notDeepEqual(await read(first![1]), await read(lookup(byWeights, first![0]) as Tensor));

  await assertStartsFrom(await startOf(folder.path, {}), byFisher);
  await assertStartsFrom(await startOf(folder.path, { importance: "magnitude" }), byWeights);
  const fresh = await startOf(folder.path, { initialization: "random" });
  assert.notDeepEqual(fresh.get(first![0]), await read(first![1]));
  assert.ok(fresh.get("model.norm.weight")!.every((x) => x === 1));

  dispose([byWeights, byFisher, importance]);
  opened.close();
});

Deno.test("graft finetune --method ladder-side refuses other starts, and graft methods --show names those that there are", async () => {
  using folder = temporaryFolder();
  tinyModel(folder.path);
  tinyData(folder.path);
  await assert.rejects(
    startOf(folder.path, { initialization: "zero" }),
    /"initialization" to be "pruned" or "random" but found "zero"/,
  );
  await assert.rejects(
    startOf(folder.path, { importance: "hessian" }),
    /"importance" to be "fisher" or "magnitude"/,
  );
  const { out } = await graft(["methods", "--show", "ladder-side"]);
  assert.match(out, /initialization: "pruned" +the base's weights, pruned, or fresh ones\n/);
  assert.match(
    out,
    /importance: "fisher" +which weights are kept: those of largest Fisher\s+information, or largest squares\n/,
  );
});
