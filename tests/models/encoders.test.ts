/**
 * BERT, RoBERTa and T5 against transformers and PEFT (tests/oracles/encoders.py), on each backend. Tolerances relative to the
 * largest value: 1e-5 for logits and losses, 1e-4 for gradients, since f32 sums come in another order.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Backend,
  type Batch,
  forward,
  generateIds,
  graft,
  leaves,
  loss,
  lossAndGrad,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { embed } from "../../models/embed.ts";
import { bucketOf } from "../../models/relative_buckets.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";

const ROOT = `${GOLDEN}encoders`;
const CASES = [
  "bert_text",
  "bert_score",
  "bert_flags",
  "bert_scores",
  "bert_tags",
  "bert_mask",
  "bert_bare",
  "roberta_text",
  "roberta_tags",
  "roberta_mask",
  "xlm_roberta_text",
  "t5",
  "t5_gated",
  "mt5",
] as const;
const TRAINED = CASES.filter((name) => name !== "bert_bare");

const batchOf = (name: string): Batch => JSON.parse(Deno.readTextFileSync(`${ROOT}/${name}/case.json`));
const expectedOf = (name: string) => goldenNumbers(`encoders/${name}/expected.safetensors`);

/** The numbers of a tensor, which is freed. */
async function numbers(t: Tensor): Promise<Float32Array> {
  const found = await read(t) as Float32Array;
  t.storage.free();
  return found;
}

const logitsOf = (model: Model, batch: Batch): Promise<Float32Array> =>
  numbers(scope((): Synchronous<Tensor> => forward(model, batch).logits));

/** Rows of the tokens that are no padding: what padding itself computes does not matter. */
function real(values: Float32Array, batch: Batch, name: string): readonly number[] {
  const mask = /text|score|flags|t5/.test(name) ? undefined : batch.attentionMask!.flat();
  if (mask === undefined) return [...values];
  const width = values.length / mask.length;
  return mask.flatMap((keep, i) => keep === 1 ? [...values.subarray(i * width, (i + 1) * width)] : []);
}

async function withModel(backend: Backend, name: string, f: (model: Model) => Promise<void>): Promise<void> {
  await assertNoLeak(async () => {
    const model = await loadModel(`${ROOT}/${name}`, { backend });
    try {
      await f(model);
    } finally {
      model.dispose();
    }
  });
}

async function withAdapter(
  model: Model,
  name: string,
  f: (adapter: Adapter) => Promise<void>,
): Promise<void> {
  const adapter = await loadAdapter(`${ROOT}/${name}/adapter`, model);
  await f(adapter);
  for (const [, t] of leaves(adapter.params)) t.storage.free();
}

for (const backendName of ALL_BACKENDS) {
  for (const name of CASES) {
    Deno.test(`forward() equals transformers on ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        withModel(backend, name, async (model) => {
          const [batch, expected] = [batchOf(name), expectedOf(name)];
          const found = await logitsOf(model, batch);
          assertClose(real(found, batch, name), real(expected.get("logits")!, batch, name), 1e-5, "logits");
        })));
  }

  for (const name of TRAINED) {
    Deno.test(`lossAndGrad() equals PEFT's of a LoRA on ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        withModel(backend, name, async (model) => {
          const [batch, expected] = [batchOf(name), expectedOf(name)];
          const base = await numbers(scope((): Synchronous<Tensor> => loss(model, batch)));
          assertClose(base, expected.get("base_loss")!, 1e-5, "loss of the base");
          await withAdapter(model, name, async (adapter) => {
            const logits = await logitsOf(graft(model, adapter), batch);
            assertClose(
              real(logits, batch, name),
              real(expected.get("adapted")!, batch, name),
              1e-5,
              "logits",
            );
            const { loss, grads } = await lossAndGrad(model, adapter, batch);
            assertClose([loss], expected.get("loss")!, 1e-5, "loss");
            await assertGradients(name, model, { ...adapter, params: grads }, expected);
            for (const [, t] of leaves(grads)) t.storage.free();
          });
        })));
  }

  for (const name of ["t5", "t5_gated", "mt5"]) {
    Deno.test(`generateIds() continues as transformers with ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        withModel(backend, name, async (model) => {
          const { inputIds, attentionMask } = batchOf(name);
          // A prompt with a hole cannot be asked for: rows alone have none.
          const prompts = inputIds.map((row, b) => row.filter((_, i) => attentionMask![b]![i] === 1));
          const found = await generateIds(model, prompts, { maxNewTokens: 9, eos: [] });
          assert.deepEqual(found.flat(), integersOf(name, "alone"));
          assert.deepEqual(await generateIds(model, prompts[1]!, { maxNewTokens: 9, eos: [] }), found[1]);
        })));
  }

  Deno.test(`embed() pools as sentence-transformers (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      withModel(backend, "bert_bare", async (model) => {
        const [batch, expected] = [batchOf("bert_bare"), expectedOf("bert_bare")];
        assertClose(await numbers(embed(model, batch)), expected.get("unit")!, 1e-5);
        assertClose(await numbers(embed(model, batch, { length: "free" })), expected.get("mean")!, 1e-5);
        const first = embed(model, batch, { pooling: "first", length: "free" });
        assertClose(await numbers(first), expected.get("first")!, 1e-5);
      })));
}

/** Gradients go through the key map of the parameters: as a folder they have PEFT's names. */
async function assertGradients(
  name: string,
  model: Model,
  grads: Adapter,
  expected: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await saveAdapter(folder, grads, model);
    const file = openSafetensors(`${folder}/adapter_model.safetensors`);
    const found = new Map(
      [...file.tensors.values()].filter((t) => !t.name.includes("base_layer"))
        .map((t) => [t.name, new Float32Array(t.read().buffer)] as const),
    );
    file.close();
    const wanted = [...expected.keys()].filter((key) => key.startsWith("grad.")).map((key) => key.slice(5));
    assert.deepEqual([...found.keys()].sort(), wanted.sort(), name);
    for (const key of wanted) assertClose(found.get(key)!, expected.get(`grad.${key}`)!, 1e-4, key);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function integersOf(name: string, key: string): readonly number[] {
  const file = openSafetensors(`${ROOT}/${name}/expected.safetensors`);
  try {
    return [...new Int32Array(file.tensors.get(key)!.read().buffer)];
  } finally {
    file.close();
  }
}

Deno.test("bucketOf() equals transformers' buckets", () => {
  const cases = JSON.parse(Deno.readTextFileSync(`${ROOT}/buckets.json`));
  for (const { first, expected, ...bucketing } of cases) {
    const found = expected.map((_: number, i: number) => bucketOf(first + i, bucketing));
    assert.deepEqual(found, expected, JSON.stringify(bucketing));
  }
});
