/** Plans against what the same run then holds: memory's own peak, on a backend that really computes. */
import assert from "node:assert/strict";
import { adapt, dispose, graft, memory, type Method, resetPeak } from "../../core/mod.ts";
import { checkpointShapes, configShapes } from "../../io/model_shapes.ts";
import { loadModel } from "../../io/load_model.ts";
import { fullFineTune, ia3, lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import {
  adamw,
  adamw8bit,
  heldOutLoss,
  paged,
  planMemory,
  type PlanOptions,
  resident,
  rowsFrom,
  startTraining,
} from "../../train/mod.ts";
import { GOLDEN } from "../support/golden.ts";

const path = `${GOLDEN}llama_lora/base`;
const rows = rowsFrom(
  Array.from({ length: 9 }, (_, i) => {
    const inputIds = Array.from({ length: 6 + 3 * (i % 5) }, (_, t) => (7 * i + 3 * t) % 37);
    return { inputIds, labels: inputIds.map((id, t) => t < 3 ? -100 : id) };
  }),
);
/** Far longer than what is trained on. */
const long = rowsFrom(
  [40, 9, 44].map((length) => {
    const inputIds = Array.from({ length }, (_, t) => t % 37);
    return { inputIds, labels: inputIds };
  }),
);
const plain: PlanOptions = {
  learningRate: 0.01,
  batching: { kind: "buckets", batchSize: 3 },
  clip: 1,
  pad: 0,
  optimizer: adamw(),
  state: "resident",
};

const cases: readonly (readonly [string, Method, Partial<PlanOptions>])[] = [
  ["LoRA", lora({ rank: 4, dropout: 0.1, targets: "all-linear" }), {}],
  ["LoRA, accumulated", lora({ rank: 2 }), { accumulate: 3, optimizer: adamw8bit() }],
  ["LoRA, in chunks", lora({ rank: 2 }), { accumulate: 3, chunkTokens: 20 }],
  ["LoRA, packed", lora({ rank: 2 }), { batching: { kind: "packing", batchSize: 2, maxLength: 24 } }],
  ["(IA)³, recomputed", ia3(), { checkpointBlocks: true, labelSmoothing: 0.1 }],
  ["full, paged", fullFineTune(), { state: "paged" }],
  ["full, resident", fullFineTune(), { clip: 1e-3 }],
  ["LoRA, evaluated on long rows", lora({ rank: 2 }), { evaluated: { ...long, batchSize: 2 } }],
  ["LoRA, evaluated on its own rows", lora({ rank: 2 }), { evaluated: { ...rows, batchSize: 3 } }],
];

for (const [name, method, options] of cases) {
  Deno.test(`planMemory() is within 10 % of the measured peak: ${name}`, async () => {
    const all = { ...plain, ...options };
    const shapes = checkpointShapes(path);
    const sketch = adapt(shapes, method);
    const plan = await planMemory(shapes, sketch, rows, all);
    dispose(sketch.params);
    shapes.dispose();

    const backend = reference();
    const model = await loadModel(path, { backend });
    const adapter = adapt(model, method);
    const { optimizer, state, evaluated, ...training } = all;
    const run = await startTraining(model, adapter, rows, {
      ...training,
      moments: (params) => state === "paged" ? paged(optimizer, params) : resident(optimizer, params),
    });
    dispose(adapter.params);
    resetPeak();
    while (await run.next());
    if (evaluated !== undefined) {
      const held = evaluated.lengths.length === long.count ? long : rows;
      await heldOutLoss(graft(model, run.adapter()), held, { batchSize: evaluated.batchSize, pad: 0 });
    }
    const { peak } = memory(backend);
    const held = run.moments.bytes();
    run.dispose();
    model.dispose();
    assert.ok(Math.abs(plan.total - peak) <= 0.1 * peak, `planned ${plan.total}, measured ${peak}`);
    assert.equal(plan.optimizer, held.resident);
    assert.equal(plan.paged, held.host + held.disk);
    assert.equal(
      plan.total,
      plan.weights + plan.adapter + plan.gradients + plan.optimizer + plan.activations,
    );
    assert.equal(memory(backend).live, 0);
  });
}

Deno.test("planMemory() counts rows that stay together whole, however few tokens a chunk may have", async () => {
  const shapes = checkpointShapes(path);
  const sketch = adapt(shapes, lora({ rank: 2 }));
  const planned = async (together: boolean, chunkTokens: number): Promise<number> => {
    const { total } = await planMemory(shapes, sketch, { ...rows, ...together && { together } }, {
      ...plain,
      chunkTokens,
    });
    return total;
  };
  assert.equal(await planned(true, 20), await planned(false, Infinity));
  assert.ok(await planned(false, 20) < await planned(true, 20));
  dispose(sketch.params);
  shapes.dispose();
});

Deno.test("planMemory() answers for LLaMA-65B under QLoRA: it fits in 48 GB", async () => {
  const config = {
    model_type: "llama",
    hidden_size: 8192,
    intermediate_size: 22016,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    vocab_size: 32000,
    max_position_embeddings: 2048,
    torch_dtype: "float16",
  };
  const model = configShapes(config, { quantize: { dtype: "nf4_double" } });
  const adapter = adapt(model, lora({ rank: 64, targets: "all-linear" }));
  const plan = await planMemory(model, adapter, { lengths: [512], targets: [511] }, {
    ...plain,
    batching: { kind: "buckets", batchSize: 1 },
    checkpointBlocks: true,
    state: "paged",
  });
  dispose(adapter.params);
  model.dispose();
  // 80 layers of 4·8192² + 3·8192·22016 weights at 4 bits and 0.127 for scales (the QLoRA paper's figure), 2·32000·8192
  // of 16 bits, 161 norms in f32.
  const bits = 80 * (4 * 8192 ** 2 + 3 * 8192 * 22016) * 4.127 / 8;
  const expected = bits + 2 * 32000 * 8192 * 2 + 161 * 8192 * 4;
  assert.ok(Math.abs(plan.weights - expected) < 1e-3 * expected, `${plan.weights} for ${expected}`);
  // The paper's rank 64 on all linear layers: 64 · (in + out) each.
  assert.equal(plan.adapter, 4 * 80 * 64 * (4 * 2 * 8192 + 3 * (8192 + 22016)));
  assert.ok(plan.total < 48e9, String(plan.total));
});
