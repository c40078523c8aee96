import assert from "node:assert/strict";
import { openCheckpoint } from "../../formats/checkpoint.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { GOLDEN, inFolder } from "./golden.ts";

Deno.test("openCheckpoint() opens folders, bitsandbytes folders and GGUF files alike", () => {
  const open = (name: string) => {
    const { config, tensors, kind } = openCheckpoint(GOLDEN + name);
    const q = tensors.tensors.get("model.layers.0.self_attn.q_proj.weight")!;
    tensors.close();
    return { kind, model: config["model_type"], dtype: q.dtype, shape: q.shape };
  };
  assert.deepEqual(open("hf_llama"), { kind: "folder", model: "llama", dtype: "f32", shape: [32, 32] });
  assert.deepEqual(open("hf_llama/"), { kind: "folder", model: "llama", dtype: "f32", shape: [32, 32] });
  assert.deepEqual(open("bnb_nf4_double"), {
    kind: "folder",
    model: "llama",
    dtype: "nf4_double",
    shape: [40, 40],
  });
  assert.deepEqual(open("qwen2.gguf"), { kind: "gguf", model: "qwen2", dtype: "q8_0", shape: [32, 32] });
});

Deno.test("openCheckpoint() opens sharded folders", async () => {
  await inFolder(async (folder) => {
    const whole = openSafetensors(GOLDEN + "hf_llama/model.safetensors");
    const [first, ...rest] = [...whole.raw.values()];
    await writeSafetensors(folder + "model-1.safetensors", [first!]);
    await writeSafetensors(folder + "model-2.safetensors", rest);
    const map = Object.fromEntries([
      [first!.name, "model-1.safetensors"],
      ...rest.map((t) => [t.name, "model-2.safetensors"]),
    ]);
    Deno.writeTextFileSync(folder + "model.safetensors.index.json", JSON.stringify({ weight_map: map }));
    Deno.writeTextFileSync(folder + "config.json", "{}");
    const { tensors } = openCheckpoint(folder);
    for (const [name, t] of whole.tensors) {
      assert.deepEqual(tensors.tensors.get(name)!.read(), t.read(), name);
    }
    tensors.close();
    whole.close();
  });
});

Deno.test("openCheckpoint() says what is wrong with a folder or file", async () => {
  await inFolder((folder) => {
    const open = () => openCheckpoint(folder);
    assert.throws(open, /TypeError.*no config.json/);
    Deno.writeTextFileSync(folder + "m.gguf", "");
    assert.throws(open, /TypeError.*give the path of "m.gguf"/);
    Deno.writeTextFileSync(folder + "config.json", "[]");
    assert.throws(open, /SyntaxError.*not a JSON object/);
    Deno.writeTextFileSync(folder + "config.json", `{"a":1,"a":2}`);
    assert.throws(open, /SyntaxError.*"a" occurs twice/);
    Deno.writeTextFileSync(folder + "config.json", `{"a":[{"__proto__":{}}]}`);
    assert.throws(open, /SyntaxError.*"__proto__" is not allowed/);
    Deno.writeTextFileSync(folder + "config.json", "{}");
    assert.throws(open, /TypeError.*no model.safetensors and no model.safetensors.index.json/);
    Deno.writeTextFileSync(folder + "pytorch_model.bin", "");
    assert.throws(open, /TypeError.*"pytorch_model.bin" is a pickle file.*convert it to safetensors/);
    Deno.writeTextFileSync(folder + "config.json", `{"quantization_config":{"quant_method":"gptq"}}`);
    assert.throws(open, /TypeError.*expected quant_method "bitsandbytes" but found "gptq"/);
    assert.throws(
      () => openCheckpoint(folder + "pytorch_model.bin"),
      /TypeError.*expected a folder or a .gguf file/,
    );
    assert.throws(() => openCheckpoint(folder + "m.gguf"), /RangeError.*GGUF header/);
    assert.throws(() => openCheckpoint(folder + "nothing"), { code: "ENOENT" });
  });
});
