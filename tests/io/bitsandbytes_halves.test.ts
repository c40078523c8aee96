/**
 * bitsandbytes checkpoints of 16-bit models under rarely set options (tests/oracles/bitsandbytes_halves.py): loaded and saved they are
 * what transformers wrote, to the byte, and say the same of themselves.
 */
import assert from "node:assert/strict";
import { bytesOf, setLeaves, tensor } from "../../mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN } from "../support/golden.ts";

const ROOT = `${GOLDEN}bitsandbytes_halves/`;
const CASES = [...Deno.readDirSync(ROOT)].map(({ name }) => name).sort();

function rawOf(folder: string): ReadonlyMap<string, unknown> {
  const file = openSafetensors(`${folder}/model.safetensors`);
  try {
    return new Map(
      [...file.raw.values()].map((
        t,
      ) => [t.name, { type: t.type, shape: t.shape, bytes: Uint8Array.from(t.read()) }]),
    );
  } finally {
    file.close();
  }
}

const configAt = (folder: string) => JSON.parse(Deno.readTextFileSync(`${folder}/config.json`));

for (const name of CASES) {
  Deno.test(`saveModel() writes the bytes and settings of transformers' checkpoint: ${name}`, () =>
    assertNoLeak(async () => {
      const model = await loadModel(ROOT + name, { backend: reference() });
      await inFolder(async (folder) => {
        await saveModel(folder, model);
        const [ours, theirs] = [rawOf(folder), rawOf(ROOT + name)];
        assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
        for (const [key, tensor] of theirs) assert.deepEqual(ours.get(key), tensor, key);
        const [own, given] = [folder, ROOT + name].map(configAt);
        assert.equal(own.dtype, given.dtype);
        for (const [field, value] of Object.entries(own.quantization_config)) {
          assert.deepEqual(value, given.quantization_config[field], field);
        }
        // transformers refuses an integer there.
        const threshold = /"llm_int8_threshold": .*$/m;
        const text = Deno.readTextFileSync(`${folder}/config.json`);
        if (name.startsWith("int8")) assert.match(threshold.exec(text)![0], /: 0\.0,?$/);
        else assert.doesNotMatch(text, threshold);
      });
      model.dispose();
    }));
}

Deno.test("saveModel() keeps vectors in f32 that 16 bits do not hold any more", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const model = await loadModel(`${ROOT}nf4`, { backend });
    const trained = tensor(Array.from({ length: 64 }, (_, i) => 1 + i / 3), { backend });
    const path = "model.norm.weight";
    await inFolder(async (folder) => {
      await saveModel(folder, { ...model, weights: setLeaves(model.weights, [[path, trained]]) });
      const file = openSafetensors(`${folder}/model.safetensors`);
      assert.equal(file.tensors.get("model.layers.0.input_layernorm.weight")!.dtype, "f16");
      const { dtype, read: bytes } = file.tensors.get(path)!;
      assert.deepEqual([dtype, bytes()], ["f32", await bytesOf(trained)]);
      file.close();
    });
    trained.storage.free();
    model.dispose();
  }));
