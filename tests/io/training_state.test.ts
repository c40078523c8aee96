/** Training states: what is read is what was written, in its order; damage and other files are refused. */
import assert from "node:assert/strict";
import { bytesOf, dispose, leaves, nest, type Tensor, tensor, type Tree } from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { openTrainingState, saveParams, saveTrainingState } from "../../io/training_state.ts";
import { reference } from "../../ops/reference/mod.ts";
import { adamw8bit, type Moments, paged, resident } from "../../train/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";

const backend = reference();
/** Names whose order is not the alphabet's, and one parameter large enough for 8-bit slots. */
const params = nest([
  ["layers.2.a", tensor([1, 2, 3], { backend })],
  ["layers.10.a", tensor(Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i)), { backend })],
  ["b", tensor([[4], [5]], { backend })],
]) as Tree;

async function stepped(kind: "resident" | "paged"): Promise<Moments> {
  const moments = kind === "resident" ? resident(adamw8bit(), params) : await paged(adamw8bit(), params);
  const next = await moments.apply(params, params, { learningRate: 0.1, step: 1 });
  dispose(next);
  return moments;
}

for (const kind of ["resident", "paged"] as const) {
  Deno.test(`saveTrainingState() and openTrainingState() are inverse, ${kind}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await assertNoLeak(async () => {
        const moments = await stepped(kind);
        const path = `${folder}/state.safetensors`;
        const kept = { budget: { z: params["b"] as Tensor, a: params["b"] as Tensor } };
        const snapshot = { step: 7, params, slots: moments.save(), state: kept };
        await saveTrainingState(path, snapshot, moments.optimizer, { data: "abc", nested: { x: [1, null] } });
        using state = openTrainingState(path);
        assert.equal(state.step, 7);
        assert.deepEqual(state.record, { data: "abc", nested: { x: [1, null] } });
        const found = state.params(backend);
        assert.deepEqual(leaves(found).map(([name]) => name), ["layers.2.a", "layers.10.a", "b"]);
        for (const [i, [, t]] of leaves(found).entries()) {
          assert.deepEqual(t.shape, leaves(params)[i]![1].shape);
          assert.deepEqual(await bytesOf(t), await bytesOf(leaves(params)[i]![1]));
        }
        const slots: string[] = [];
        for await (const [name, slot] of moments.save()) {
          slots.push(name);
          assert.equal(state.slots.get(name)!.dtype, slot.dtype);
          assert.deepEqual(state.slots.get(name)!.bytes, slot.bytes);
        }
        assert.deepEqual([...state.slots.keys()], slots);
        assert.equal(state.slots.get("layers.10.a/first")!.dtype, "dynamic8");
        const own = state.state(backend);
        assert.deepEqual(leaves(own).map(([name]) => name), ["budget.z", "budget.a"]);
        assert.deepEqual(await bytesOf(leaves(own)[0]![1]), await bytesOf(params["b"] as Tensor));
        dispose([found, own]);
        moments.dispose();
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("openTrainingState() refuses files that are none", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/best.safetensors`;
    await saveParams(path, 3, params);
    using state = openTrainingState(path);
    assert.equal(state.step, 3);
    assert.equal(state.slots.size, 0);
    const cut = `${folder}/cut.safetensors`;
    const bytes = await Deno.readFile(path);
    await Deno.writeFile(cut, bytes.subarray(0, bytes.length - 1));
    assert.throws(() => openTrainingState(cut), RangeError);
    const other = new URL("../oracles/golden/llama_lora/base/model.safetensors", import.meta.url).pathname;
    assert.throws(() => openTrainingState(other), /no training state/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a state's step and the shapes of its slots are refused when no run has them", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/state.safetensors`;
    const moments = await stepped("resident");
    await saveTrainingState(path, { step: 7, params, slots: moments.save() }, moments.optimizer, {});
    moments.dispose();
    const file = openSafetensors(path);
    const record = JSON.parse(file.metadata.get("graft.training")!);
    const tensors = [...file.tensors.values()].map((t) => {
      const bytes = t.read();
      return { ...t, read: () => bytes };
    });
    file.close();
    const refuse = async (change: Record<string, unknown>, message: RegExp): Promise<void> => {
      await writeSafetensors(path, tensors, { "graft.training": JSON.stringify({ ...record, ...change }) });
      assert.throws(() => openTrainingState(path), (error: Error) => {
        assert.ok(error instanceof RangeError);
        assert.match(error.message, message);
        return true;
      });
    };
    for (const step of [2_147_483_648, 1e300, -1, 0.5, "7"]) {
      await refuse({ step }, /"step" in .*state\.safetensors to be an integer from 0 to 2147483647/);
    }
    const [[name, dtype], ...slots] = record.slots;
    await refuse({ slots: [[name, dtype, [2_147_483_648]], ...slots] }, /has \d+ bytes, but .* takes \d+/);
  });
});
