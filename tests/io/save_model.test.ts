/** Saved models load again as they were. That Python loads them too is checked by tests/oracles/check_adapter.py. */
import assert from "node:assert/strict";
import {
  type Adapter,
  bytesOf,
  type DType,
  forward,
  graft,
  keep,
  lookup,
  merge,
  type Model,
  quantize,
  read,
  type Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import { openGguf } from "../../formats/gguf.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";
import { tinyGpt2 } from "../support/tiny_models.ts";

const BATCH = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/batch.json`));
const backend = reference();

const TINY = { inputIds: [[1, 2, 3, 4, 5]] };

async function logitsOf(model: Model, batch = BATCH): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** Runs with a base of PEFT's golden cases and a fresh folder; nothing may be left behind. */
async function withBase(name: string, run: (model: Model, folder: string) => Promise<void>): Promise<void> {
  await assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    const model = await loadModel(GOLDEN + name, { backend });
    try {
      await run(model, folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
      model.dispose();
    }
  });
}

const configAt = (folder: string): Record<string, unknown> =>
  JSON.parse(Deno.readTextFileSync(`${folder}/config.json`));

Deno.test("saveModel() writes the weights that were loaded", () =>
  withBase("peft_folders/bases/qwen2", async (model, folder) => {
    await saveModel(`${folder}/out`, model);
    const [ours, theirs] = [`${folder}/out`, `${GOLDEN}peft_folders/bases/qwen2`].map((path) =>
      openSafetensors(`${path}/model.safetensors`)
    );
    assert.deepEqual([...ours!.tensors.keys()], [...theirs!.tensors.keys()]);
    for (const [name, t] of theirs!.tensors) {
      assert.deepEqual(ours!.tensors.get(name)!.read(), t.read(), name);
    }
    ours!.close();
    theirs!.close();
    const { dtype: _, ...config } = configAt(`${GOLDEN}peft_folders/bases/qwen2`);
    assert.deepEqual(configAt(`${folder}/out`), { ...config, dtype: "float32" });
  }));

for (const output of ["out", "out.gguf"]) {
  Deno.test(`saveModel() says after each weight how many are written: ${output}`, () =>
    withBase("peft_folders/bases/qwen2", async (model, folder) => {
      const total = weightLeaves(model.weights).length;
      const told: (readonly number[])[] = [];
      await saveModel(`${folder}/${output}`, model, { advanced: (done, of) => told.push([done, of]) });
      assert.deepEqual(told, Array.from({ length: total }, (_, i) => [i + 1, total]));
    }));
}

for (const name of ["head_tied", "embedding_tied", "save_head_tied", "gpt2_embedding", "head_t5"]) {
  Deno.test(`saveModel() gives a merged head a matrix of its own: ${name}`, async () => {
    const { base } = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/${name}/case.json`));
    await withBase(base, async (model, folder) => {
      const adapter: Adapter = await loadAdapter(`${GOLDEN}peft_folders/${name}`, model);
      const owned = keep(adapter.params);
      const expected = openSafetensors(`${GOLDEN}peft_folders/${name}/expected.safetensors`);
      const logits = new Float32Array(expected.tensors.get("logits")!.read().buffer);
      expected.close();
      const merged = merge(model, adapter);
      await saveModel(folder, merged);
      assert.equal(configAt(folder)["tie_word_embeddings"], false);
      const again = await loadModel(folder, { backend });
      assertClose(await logitsOf(again), logits, 1e-5, "logits");
      again.dispose();
      merged.dispose();
      owned.dispose();
    });
  });
}

for (const dtype of ["nf4", "nf4_double", "fp4", "int8"] satisfies DType[]) {
  Deno.test(`saveModel() keeps bitsandbytes layers: ${dtype}`, () =>
    withBase("peft_folders/bases/llama_untied", async (model, folder) => {
      const small = quantize(model, { dtype, targets: ["q_proj", "o_proj", "down_proj"] });
      await saveModel(folder, small);
      const config = configAt(folder)["quantization_config"] as Record<string, unknown>;
      assert.equal(config["quant_method"], "bitsandbytes");
      assert.equal(config["load_in_8bit"], dtype === "int8");
      assert.ok((config["llm_int8_skip_modules"] as string[]).includes("model.layers.0.self_attn.v_proj"));
      const again = await loadModel(folder, { backend });
      const leaves = new Map(weightLeaves(again.weights));
      for (const [path, leaf] of weightLeaves(small.weights)) {
        assert.equal(leaves.get(path)!.dtype, leaf.dtype, path);
        assert.deepEqual(await bytesOf(leaves.get(path)!), await bytesOf(leaf), path);
      }
      again.dispose();
      small.dispose();
    }));
}

Deno.test("saveModel() decodes what a folder does not have, and converts on demand", () =>
  withBase("peft_folders/bases/llama_untied", async (model, folder) => {
    const small = quantize(model, { dtype: "int4", targets: ["q_proj"] });
    await saveModel(`${folder}/plain`, small);
    const plain = await loadModel(`${folder}/plain`, { backend });
    assert.ok(weightLeaves(plain.weights).every(([, leaf]) => leaf.dtype === "f32"));
    assert.equal(configAt(`${folder}/plain`)["quantization_config"], undefined);
    assertClose(await logitsOf(plain), await logitsOf(small), 1e-6, "logits");
    plain.dispose();
    const four = quantize(model, { dtype: "nf4", targets: ["q_proj"] });
    const both = quantize(four, { dtype: "int8", targets: ["k_proj"] });
    await assert.rejects(saveModel(folder, both), /layers in nf4 and int8/);
    await saveModel(`${folder}/half`, both, { dtype: "bf16" });
    assert.equal(configAt(`${folder}/half`)["dtype"], "bfloat16");
    const file = openSafetensors(`${folder}/half/model.safetensors`);
    assert.ok([...file.tensors.values()].every((t) => t.dtype === "bf16"));
    file.close();
    await assert.rejects(saveModel(folder, model, { dtype: "q4_0" }), /a path that ends in "\.gguf"/);
    for (const made of [both, four, small]) made.dispose();
  }));

Deno.test("saveModel() writes GGUF files", async () => {
  for (
    const base of [
      "peft_folders/bases/llama_untied",
      "peft_folders/bases/qwen2",
      "peft_folders/bases/gpt2",
      "llama_lora/base",
    ]
  ) {
    await withBase(base, async (model, folder) => {
      await saveModel(`${folder}/model.gguf`, model);
      const again = await loadModel(`${folder}/model.gguf`, { backend });
      // 1e-6: only f32 metadata such as epsilon are rounded.
      assertClose(await logitsOf(again), await logitsOf(model), 1e-6, base);
      again.dispose();
    });
  }
});

Deno.test("saveModel() takes the tokenizer along", () =>
  withBase("peft_folders/bases/qwen2", async (model, folder) => {
    const from = `${folder}/from`;
    await saveModel(from, model);
    Deno.writeTextFileSync(`${from}/tokenizer_config.json`, "{}");
    Deno.writeTextFileSync(`${from}/merges.txt`, "a b");
    await saveModel(`${folder}/to`, { ...model, source: from });
    assert.equal(Deno.readTextFileSync(`${folder}/to/merges.txt`), "a b");
    assert.equal(Deno.readTextFileSync(`${folder}/to/tokenizer_config.json`), "{}");
    await saveModel(from, { ...model, source: from }); // onto itself
    assert.equal(Deno.readTextFileSync(`${from}/merges.txt`), "a b");
  }));

Deno.test("saveModel() refuses a model with grafted edits", () =>
  withBase("llama_lora/base", async (model, folder) => {
    const method = lora({ rank: 1 });
    const owned = keep(method.init({ model, key: 0 }));
    const tuned = graft(model, { method, params: owned.tree });
    await assert.rejects(
      saveModel(folder, tuned),
      /grafted at "model\.layers\.0\.self_attn\.q_proj"; merge it/,
    );
    owned.dispose();
  }));

Deno.test("saveModel() refuses a merged bias where the architecture has none", () =>
  withBase("peft_folders/bases/qwen2", async (model, folder) => {
    const adapter = await loadAdapter(`${GOLDEN}peft_folders/lora_bias`, model);
    const owned = keep(adapter.params);
    const merged = merge(model, adapter);
    await assert.rejects(
      saveModel(folder, merged),
      /qwen2 checkpoint has no place for "model\.layers\.0\.mlp\.up_proj\.bias"/,
    );
    merged.dispose();
    owned.dispose();
  }));

Deno.test("saveModel() puts GPT-2's matrices into blocks along inputs, as GGUF has them", () =>
  assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    const model = tinyGpt2(backend, 3, { width: 32, heads: 2, inner: 64, vocabulary: 11 });
    await saveModel(`${folder}/a.gguf`, model, { dtype: "q8_0" });
    const path = "transformer.h.0.attn.c_attn.weight";
    const quantized = quantize(model, { dtype: "q8_0" });
    const again = await loadModel(`${folder}/a.gguf`, { backend });
    const [expected, found] = [quantized, again].map(({ weights }) => lookup(weights, path) as Tensor);
    assert.deepEqual([found!.dtype, found!.shape], ["q8_0", [96, 32]]); // [out, in], as there
    assert.deepEqual(await bytesOf(found!), await bytesOf(expected!));
    assertClose(await logitsOf(again, TINY), await logitsOf(model, TINY), 2e-2, "logits"); // 8 bits
    const file = openGguf(`${folder}/a.gguf`);
    const stored = file.tensors.get("blk.0.attn_qkv.weight")!;
    assert.deepEqual([stored.dtype, stored.shape], ["q8_0", [96, 32]]);
    await saveModel(`${folder}/b.gguf`, again); // as it is
    const second = openGguf(`${folder}/b.gguf`);
    const blocks = second.tensors.get("blk.0.attn_qkv.weight")!;
    assert.deepEqual([blocks.dtype, blocks.shape, blocks.read()], ["q8_0", [96, 32], stored.read()]);
    second.close();
    file.close();
    for (const made of [quantized, again, model]) made.dispose();
    Deno.removeSync(folder, { recursive: true });
  }));
