/** `graft merge`: merged files give PEFT's logits, the report says what rounding took, and bases are named. */
import assert from "node:assert/strict";
import { forward, mergeLoss, type Model, read, weightLeaves } from "../../core/mod.ts";
import { showBytes } from "../../cli/terminal/output.ts";
import { openGguf } from "../../formats/gguf.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import batch from "../oracles/golden/llama_lora/batch.json" with { type: "json" };
import { assertClose } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";
import { graft, temporaryFolder, tinyModel } from "./tiny.ts";

async function logitsOf(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, { inputIds: batch.inputIds, attentionMask: batch.attentionMask });
  return await read(logits);
}

Deno.test("graft merge writes a folder and a GGUF file with PEFT's logits", async () => {
  using folder = temporaryFolder();
  const [model, bare] = [tinyModel(folder.path), `${GOLDEN}llama_lora/base`];
  // GGUF has no name for the tiny tokenizer, so that file comes from the model without one.
  const cases = [["lora", model, "merged"], ["ia3", model, "ia3"], ["lora", bare, "merged.gguf"]] as const;
  for (const [name, from, output] of cases) {
    const path = `${folder.path}/${output}`;
    const ran = await graft(["merge", "-m", from, "-a", `${GOLDEN}llama_lora/${name}`, "-o", path]);
    assert.equal(ran.code, 0, ran.err);
    // The size is said before, and is that of the weights.
    const written = path.endsWith(".gguf") ? openGguf(path) : openSafetensors(`${path}/model.safetensors`);
    const bytes = [...written.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    written.close();
    assert.ok(
      ran.err.includes(`Writing ${path}: ${showBytes(bytes)} of weights\n`),
      `${bytes} bytes: ${ran.err}`,
    );
    assert.match(
      ran.out,
      /merged into \d+ weights, stored in the model's own dtypes\nlost to rounding: 0\.00 % /,
    );
    await withBackend("reference", async (backend) => {
      const merged = await loadModel(path, { backend });
      const expected = goldenNumbers(`llama_lora/${name}/expected.safetensors`).get("logits")!;
      assertClose(await logitsOf(merged), expected, 1e-5, output);
      if (from === model) assert.equal(merged.tokenizer.decode(merged.tokenizer.encode("cat")), "cat");
    });
  }
});

Deno.test("graft merge --dtype says what rounding takes, and stores every matrix so", async () => {
  using folder = temporaryFolder();
  const [model, adapter] = [tinyModel(folder.path), `${GOLDEN}llama_lora/lora`];
  const path = `${folder.path}/half`;
  const ran = await graft(["merge", "-m", model, "-a", adapter, "-o", path, "--dtype", "bf16", "--json"]);
  assert.equal(ran.code, 0, ran.err);
  await withBackend("reference", async (backend) => {
    const base = await loadModel(model, { backend });
    const loss = await mergeLoss(base, await loadAdapter(adapter, base), { dtype: "bf16" });
    const said = JSON.parse(ran.out);
    assert.ok(loss.lost > 0 && Math.abs(said.lost / loss.lost - 1) < 1e-4);
    assert.equal(said.unchanged, loss.unchanged);
    assert.equal(said.weights, loss.weights.length, "a number, not a record each");
    assert.deepEqual(said.base, { model, quantized: null });
    const merged = await loadModel(path, { backend });
    for (const [name, leaf] of weightLeaves(merged.weights)) {
      assert.equal(leaf.dtype, leaf.shape.length > 1 ? "bf16" : "f32", name);
    }
    const expected = goldenNumbers("llama_lora/lora/expected.safetensors").get("logits")!;
    assertClose(await logitsOf(merged), expected, 2e-2, "logits"); // bf16 has 8 bits
  });
});

Deno.test("graft merge into a quantized base says which base it means, and keeps 16 bits unless told", async () => {
  using folder = temporaryFolder();
  const [model, adapter] = [tinyModel(folder.path), `${GOLDEN}llama_lora/lora`];
  const small = `${folder.path}/small`;
  assert.equal((await graft(["quantize", "-m", model, "--type", "nf4", "-o", small])).code, 0);
  const merge = (output: string, ...more: readonly string[]) =>
    graft(["merge", "-a", adapter, "-o", `${folder.path}/${output}`, ...more]);
  const [decoded, same, fresh] = [
    await merge("decoded", "-m", small),
    await merge("same", "-m", small, "--dtype", "same"),
    await merge("fresh", "-m", model, "--base-type", "nf4", "--dtype", "f16"),
  ];
  assert.match(decoded.err, /Base: the nf4 weights of .*small, decoded\. .*give that as --model/);
  assert.match(fresh.err, /Base: .*model quantized to nf4, decoded, as under QLoRA/);
  assert.match(decoded.out, /stored as f16/);
  assert.match(decoded.out, /lost to rounding: 0\.\d+ % of the squared update/);
  assert.match(same.out, /lost to rounding: [1-9][\d.]* % of|rounding weighs [1-9]/);
  await withBackend("reference", async (backend) => {
    const [a, b, c] = [
      await loadModel(`${folder.path}/decoded`, { backend }),
      await loadModel(`${folder.path}/fresh`, { backend }),
      await loadModel(`${folder.path}/same`, { backend }),
    ];
    assert.deepEqual(await logitsOf(a), await logitsOf(b));
    const dtypeOf = (model: Model): string =>
      weightLeaves(model.weights).find(([path]) => path.endsWith("q_proj.weight"))![1].dtype;
    assert.deepEqual([dtypeOf(a), dtypeOf(c)], ["f16", "nf4"]);
  });
});

Deno.test("graft merge refuses another model's adapter, outputs that exist, and what a folder cannot hold", async () => {
  using folder = temporaryFolder();
  const [model, adapter] = [tinyModel(folder.path), `${GOLDEN}llama_lora/lora`];
  const output = `${folder.path}/out`;
  const other = await graft(["merge", "-m", `${GOLDEN}formats/hf_llama`, "-a", adapter, "-o", output]);
  assert.equal(other.code, 1);
  assert.match(other.err.split("\n").at(-2)!, /^graft: .*expected \[.*\] but found \[/);
  const exists = await graft(["merge", "-m", model, "-a", adapter, "-o", model]);
  assert.match(exists.err, /^graft: Cannot write to .*: it exists/);
  const blocks = await graft(["merge", "-m", model, "-a", adapter, "-o", output, "--dtype", "q8_0"]);
  assert.deepEqual([blocks.code, /Cannot write q8_0 into a folder/.test(blocks.err)], [2, true]);
  const nothing = await graft(["merge", "-m", model, "-o", output]);
  assert.deepEqual([nothing.code, /Expected --adapter and --output/.test(nothing.err)], [2, true]);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map((entry) => entry.name), ["model"]);
});

Deno.test("graft merge, convert and generate replicate a base's layers where the adapter says so", async () => {
  using folder = temporaryFolder();
  const [model, adapter] = [tinyModel(folder.path), `${GOLDEN}peft_folders/replicated_beside`];
  const path = `${folder.path}/deeper`;
  const ran = await graft(["merge", "-m", model, "-a", adapter, "-o", path]);
  assert.equal(ran.code, 0, ran.err);
  const { inputIds, attentionMask } = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/batch.json`));
  await withBackend("reference", async (backend) => {
    const merged = await loadModel(path, { backend });
    assert.equal(merged.spec.blocks.length, 4);
    const expected = goldenNumbers("peft_folders/replicated_beside/expected.safetensors").get("logits")!;
    const { logits } = forward(merged, { inputIds, attentionMask });
    assertClose(await read(logits), expected, 1e-5, "logits");
  });
  const copy = `${folder.path}/copy`;
  const converted = await graft(["convert", adapter, copy, "-m", model]);
  assert.equal(converted.code, 0, converted.err);
  const texts = await Promise.all([["-m", path], ["-m", model, "-a", adapter], ["-m", model, "-a", copy]].map(
    (which) => graft(["generate", "-p", "cat", ...which, "--max-new-tokens", "6", "--backend", "reference"]),
  ));
  for (const { code, out, err } of texts) assert.deepEqual([code, out], [0, texts[0]!.out], err);
});
