/** `graft inspect`: what is there, what is damaged, and that no weight is read. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { memory } from "../../core/mod.ts";
import { inspectPath } from "../../io/inspect.ts";
import { GOLDEN } from "../support/golden.ts";
import { graft, temporaryFolder, tinyModel } from "./tiny.ts";

/** Of the golden Llama: table, then per layer q, o; k, v; gate, up, down; two norms; the last norm. */
const PARAMETERS = 37 * 24 + 2 * (2 * 24 * 24 + 2 * 12 * 24 + 3 * 28 * 24 + 2 * 24) + 24;

Deno.test("inspectPath() describes a model's folder by its config, headers and tokenizer", async () => {
  using folder = temporaryFolder();
  const { dtypes, ...model } = { ...await inspectPath(tinyModel(folder.path)) } as Record<string, unknown>;
  assert.deepEqual(model, {
    kind: "model",
    format: "folder",
    architecture: "llama",
    layers: 2,
    width: 24,
    heads: 4,
    keyValueHeads: 2,
    vocabulary: 37,
    context: 64,
    tiedHead: true,
    tensors: 20,
    parameters: PARAMETERS,
    bytes: 4 * PARAMETERS,
    tokenizer: { kind: "BPE", tokens: 37, chatTemplate: true },
  });
  assert.deepEqual(dtypes, [{ dtype: "f32", tensors: 20, parameters: PARAMETERS, bytes: 4 * PARAMETERS }]);
});

Deno.test("inspectPath() counts a bitsandbytes group as the weight that it stands for", async () => {
  const model = await inspectPath(`${GOLDEN}formats/bnb_nf4_double`);
  assert.equal(model.kind, "model");
  if (model.kind !== "model") return;
  const linears = 2 * 40 * 40 + 2 * 20 * 40 + 3 * 24 * 40;
  assert.equal(model.parameters, linears + 2 * 32 * 40 + 3 * 40); // untied head
  assert.equal(model.dtypes.find((d) => d.dtype === "nf4_double")?.parameters, linears);
  assert.equal(model.quantization, "bitsandbytes nf4 with double quantization");
});

Deno.test("inspectPath() describes GGUF files, also of architectures that cannot be run", async () => {
  const known = await inspectPath(`${GOLDEN}formats/qwen2.gguf`);
  assert.ok(known.kind === "model" && known.format === "gguf" && known.refused === undefined);
  assert.equal(known.architecture, "qwen2");
  const other = await inspectPath(`${GOLDEN}formats/kinds.gguf`);
  assert.ok(other.kind === "model" && /found test/.test(other.refused ?? ""));
  assert.equal(other.tensors, 13);
});

Deno.test("inspectPath() describes adapters, one or several in a folder", async () => {
  const lora = await inspectPath(`${GOLDEN}llama_lora/lora`);
  assert.ok(lora.kind === "adapter");
  assert.equal(lora.method, "LORA");
  assert.deepEqual([lora.options["r"], lora.options["lora_alpha"]], [3, 5]);
  assert.deepEqual([...lora.targets ?? []].sort(), ["down_proj", "q_proj", "v_proj"]);
  assert.equal(lora.parameters, 2 * 3 * ((24 + 24) + (24 + 12) + (28 + 24)));
  using folder = temporaryFolder();
  for (const name of ["a", "b"]) {
    Deno.mkdirSync(`${folder.path}/${name}`);
    for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
      Deno.copyFileSync(
        `${GOLDEN}llama_lora/${name === "a" ? "lora" : "ia3"}/${file}`,
        `${folder.path}/${name}/${file}`,
      );
    }
  }
  const both = await inspectPath(folder.path);
  assert.ok(both.kind === "adapters");
  assert.deepEqual(both.adapters.map((a) => [a.name, a.method]), [["a", "LORA"], ["b", "IA3"]]);
});

Deno.test("inspectPath() reads no weight: a file of 64 GB with holes takes no time and no memory", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/large.safetensors`;
  const bytes = 2 ** 36;
  const header = new TextEncoder().encode(
    JSON.stringify({ w: { dtype: "F16", shape: [bytes / 2], data_offsets: [0, bytes] } }),
  );
  Deno.writeFileSync(path, new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer));
  Deno.writeFileSync(path, header, { append: true });
  Deno.truncateSync(path, 8 + header.length + bytes);
  const held = Deno.memoryUsage().rss;
  const found = await inspectPath(path);
  assert.ok(found.kind === "tensors" && found.bytes === bytes && found.names[0] === "w");
  assert.ok(Deno.memoryUsage().rss - held < 1e8);
  assert.equal(memory().live, 0);
});

Deno.test("inspectPath() of a file that was cut short is one error that names the file", async () => {
  using folder = temporaryFolder();
  const sources = ["formats/hf_llama/model.safetensors", "formats/llama.gguf"];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...sources),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      async (source, share) => {
        const whole = Deno.readFileSync(GOLDEN + source);
        const path = `${folder.path}/cut${source.slice(source.lastIndexOf("."))}`;
        Deno.writeFileSync(path, whole.subarray(0, Math.floor(share * whole.length)));
        await assert.rejects(inspectPath(path), (error: Error) => {
          assert.ok(error instanceof SyntaxError || error instanceof RangeError, String(error));
          assert.match(error.message, /^Cannot read .*cut\.(safetensors|gguf)/);
          return true;
        });
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("inspectPath() of a folder says which of its files is missing, damaged or not to be read", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  Deno.writeTextFileSync(`${model}/config.json`, `{"model_type": "llama",`);
  await assert.rejects(inspectPath(model), /^SyntaxError: .*config\.json/);
  Deno.writeTextFileSync(`${model}/config.json`, `{"model_type": "llama"}`);
  Deno.removeSync(`${model}/model.safetensors`);
  await assert.rejects(
    inspectPath(model),
    /it has no model\.safetensors and no model\.safetensors\.index\.json/,
  );
  Deno.writeTextFileSync(
    `${model}/model.safetensors.index.json`,
    `{"weight_map": {"w": "model-00001-of-00002.safetensors"}}`,
  );
  await assert.rejects(
    inspectPath(model),
    /shard "model-00001-of-00002\.safetensors" with tensor "w" is missing/,
  );
  const adapter = `${folder.path}/adapter`;
  Deno.mkdirSync(adapter);
  await assert.rejects(inspectPath(adapter), /neither config\.json .* nor adapter_config\.json/);
  Deno.writeTextFileSync(`${adapter}/adapter_config.json`, "{}");
  await assert.rejects(inspectPath(adapter), /no adapter_model\.safetensors/);
  Deno.writeTextFileSync(`${adapter}/adapter_model.bin`, "");
  await assert.rejects(inspectPath(adapter), /"adapter_model\.bin" is a pickle file/);
  await assert.rejects(
    inspectPath(`${adapter}/adapter_model.bin`),
    /expected a folder, a \.gguf or a \.safetensors/,
  );
  await assert.rejects(inspectPath(`${folder.path}/nothing`), /there is no such file or folder/);
});

Deno.test("graft inspect prints facts and a table, JSON with --json, and one line for a bad path", async () => {
  const path = `${GOLDEN}llama_lora/lora`;
  const [text, json, bad] = await Promise.all([
    graft(["inspect", path]),
    graft(["inspect", path, "--json"]),
    graft(["inspect", `${GOLDEN}llama_lora/batch.json`]),
  ]);
  assert.equal(text.code, 0, text.err);
  assert.match(text.out, /method +LORA\n[^]*parameters +816\n[^]*f32 +12 +816 +3\.26 kB +32\.000/);
  const { path: said, ...described } = JSON.parse(json.out);
  assert.equal(said, path);
  assert.deepEqual(described, await inspectPath(path));
  assert.equal(bad.code, 1);
  assert.match(bad.err, /^graft: Cannot inspect "[^\n]+\n$/);
});
