/** Folders of former versions load: leaves that nothing reads are passed over, others are errors still. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  bytesOf,
  compose,
  dispose,
  leaves,
  type Method,
  type Model,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { ladderSideTuning, modulesToSave } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyBert } from "../support/tiny_models.ts";

/** Adds tensors of ones to a saved adapter, as earlier versions stored them. */
async function withMore(folder: string, more: Readonly<Record<string, readonly number[]>>): Promise<void> {
  const path = `${folder}/adapter_model.safetensors`;
  const file = openSafetensors(path);
  const own = [...file.tensors.values()].map(({ name, dtype, shape, read }) => {
    const bytes = read().slice();
    return { name, dtype, shape, byteLength: bytes.length, read: () => bytes };
  });
  file.close();
  const added = Object.entries(more).map(([name, shape]) => {
    const bytes = new Uint8Array(
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 1).buffer,
    );
    return { name, dtype: "f32" as const, shape, byteLength: bytes.length, read: () => bytes };
  });
  await writeSafetensors(path, [...own, ...added]);
}

async function assertLoads(
  model: Model,
  method: Method,
  more: Readonly<Record<string, readonly number[]>>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const adapter: Adapter = adapt(model, method, 3);
    await saveAdapter(folder, adapter, model, { format: "graft" });
    await withMore(folder, more);
    const again = await loadAdapter(folder, model);
    const numbers = async ({ params }: Adapter) =>
      await Promise.all(leaves(params).map(async ([path, t]) => [path, await bytesOf(t)] as const));
    assert.deepEqual(new Map(await numbers(again)), new Map(await numbers(adapter)));
    dispose([adapter.params, again.params]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const LADDER = ladderSideTuning({ reduction: 2 });

Deno.test("ladders beside BERT and RoBERTa that were saved with side weights outside the blocks load without them", () =>
  assertNoLeak(async () => {
    const classes = tinyBert(reference(), 1);
    const outside = {
      "side.bert.pooler.dense.weight": [6, 6],
      "side.bert.pooler.dense.bias": [6],
      "side.bert.embeddings.LayerNorm.weight": [6],
      "side.bert.embeddings.LayerNorm.bias": [6],
    };
    await assertLoads(classes, LADDER, outside);
    const within = Object.fromEntries(
      Object.entries(outside).map(([path, shape]) => [`ladder.${path}`, shape]),
    );
    const head = modulesToSave({ modules: ["classifier"] });
    await assertLoads(classes, compose({ ladder: LADDER, head }) as unknown as Method, within);
    classes.dispose();
    const words = tinyBert(reference(), 1, { family: "roberta", head: "mask" });
    await assertLoads(words, LADDER, {
      "side.lm_head.dense.weight": [6, 6],
      "side.lm_head.dense.bias": [6],
      "side.lm_head.layer_norm.weight": [6],
      "side.lm_head.layer_norm.bias": [6],
      "side.roberta.embeddings.LayerNorm.weight": [6],
      "side.roberta.embeddings.LayerNorm.bias": [6],
    });
    words.dispose();
  }));

Deno.test("any other leaf that a ladder does not have is an error still", async () => {
  const model = tinyBert(reference(), 1);
  const refused = assertLoads(model, LADDER, { "side.bert.pooler.dense.gain": [6] });
  await assert.rejects(refused, /"side\.bert\.pooler\.dense\.gain" is not expected/);
  const elsewhere = assertLoads(model, modulesToSave({ modules: ["classifier"] }), {
    "side.bert.pooler.dense.weight": [6, 6],
  });
  await assert.rejects(elsewhere, /"side\.bert\.pooler\.dense\.weight" is not expected/);
  model.dispose();
});
