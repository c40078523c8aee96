/** `graft quantize`: what it writes loads as what `quantize` makes; what it refuses; what it compares. */
import assert from "node:assert/strict";
import { openSafetensors } from "../../formats/safetensors.ts";
import { bytesOf, layout, lookup, quantize, type Tensor, weightBytes, weightLeaves } from "../../core/mod.ts";
import { disagreements, FOUR_BIT } from "../../train/quantization_comparison.ts";
import { loadModel } from "../../io/load_model.ts";
import { heldOutLoss, textRows } from "../../train/mod.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";
import { graft, graftArguments, temporaryFolder, tinyModel } from "./tiny.ts";

const TEXT = "the sun is over the sea. the cat sat on the map, and the dog had tea: why not?\n".repeat(4);

/** The codes and scales alone: bytes that fill up to a multiple of 4 may hold anything. */
async function codesOf(leaf: Tensor): Promise<readonly Uint8Array[]> {
  const bytes = await bytesOf(leaf);
  const at = layout(leaf.dtype, leaf.shape);
  return leaf.dtype === "f32" || leaf.dtype === "f16"
    ? [bytes]
    : [bytes.subarray(0, Math.ceil(leaf.size / 2)), bytes.subarray(at.nested)];
}

Deno.test("graft quantize writes a bitsandbytes folder that loads as quantize() makes it", async () => {
  using folder = temporaryFolder();
  const [model, output] = [tinyModel(folder.path), `${folder.path}/small/er`];
  const args = ["quantize", "-m", model, "--type", "nf4_double", "--embeddings", "f16", "-o", output];
  const ran = await graft([...args, "--json", "--backend", "reference"]);
  assert.equal(ran.code, 0, ran.err);
  const { quantization_config: config } = JSON.parse(Deno.readTextFileSync(`${output}/config.json`));
  // JSON made by JavaScript would hold 6 for the default 6.0, which transformers refuses to load.
  assert.deepEqual([config.bnb_4bit_quant_type, config.llm_int8_threshold], ["nf4", undefined]);
  await withBackend("reference", async (backend) => {
    const base = await loadModel(model, { backend });
    const expected = quantize(base, { dtype: "nf4_double", embeddings: "f16" });
    const loaded = await loadModel(output, { backend });
    for (const [path, leaf] of weightLeaves(expected.weights)) {
      const found = lookup(loaded.weights, path) as Tensor;
      assert.equal(found.dtype, leaf.dtype, path);
      assert.deepEqual(await codesOf(found), await codesOf(leaf), path);
    }
    const said = JSON.parse(ran.out);
    assert.deepEqual([said.bytesBefore, said.bytes], [weightBytes(base), weightBytes(expected)]);
    assert.deepEqual(loaded.tokenizer.encode("cat"), base.tokenizer.encode("cat"));
    for (const made of [expected, base, loaded]) made.dispose();
  });
  const again = await graft(args);
  assert.equal(again.code, 1);
  assert.match(again.err, /^graft: Cannot write to .*small\/er: it exists; .*--overwrite/);
  const other = await graft([...args.map((a) => a === "nf4_double" ? "int8" : a), "--overwrite"]);
  assert.equal(other.code, 0, other.err);
  assert.match(other.out, /small\/er: [\d.]+ kB of weights, [\d.]+ % of 34\.0 kB/);
  assert.deepEqual([...Deno.readDirSync(`${folder.path}/small`)].map((entry) => entry.name), ["er"]);
  const twice = await graft(["quantize", "-m", output, "--type", "nf4", "-o", `${folder.path}/x`]);
  assert.match(twice.err, /^graft: Cannot quantize "model\.layers\.0\..*: it is int8 already; .*requantize/m);
});

Deno.test("graft quantize writes GGUF blocks, and leaves nothing where they do not fit", async () => {
  using folder = temporaryFolder();
  const output = `${folder.path}/small.gguf`;
  const ran = await graft(["quantize", "-m", `${GOLDEN}formats/hf_llama`, "--type", "q8_0", "-o", output]);
  assert.equal(ran.code, 0, ran.err);
  await withBackend("reference", async (backend) => {
    const loaded = await loadModel(output, { backend });
    const dtypes = weightLeaves(loaded.weights).map(([path, leaf]) =>
      [path.endsWith("proj.weight"), leaf.dtype].join()
    );
    assert.deepEqual([...new Set(dtypes)].sort(), ["false,f32", "true,q8_0"]);
    loaded.dispose();
  });
  const model = tinyModel(folder.path);
  const refused = await graft(["quantize", "-m", model, "--type", "q8_0", "-o", `${folder.path}/no.gguf`]);
  assert.equal(refused.code, 1);
  assert.match(
    refused.err,
    /^graft: Cannot quantize "model\.layers\.0\.self_attn\.q_proj\.weight": .*multiple of 32 but is 24/m,
  );
  assert.deepEqual([...Deno.readDirSync(folder.path)].map((entry) => entry.name).sort(), [
    "model",
    "small.gguf",
  ]);
});

Deno.test("graft quantize says which file a full disk has no room for, and keeps what was there", async () => {
  using folder = temporaryFolder();
  const output = `${folder.path}/small`;
  // Names that look like ours at work, but are the user's.
  for (const name of ["small.old", "small.partial", "small"]) {
    Deno.mkdirSync(`${folder.path}/${name}`);
    Deno.writeTextFileSync(`${folder.path}/${name}/mine.txt`, name);
  }
  const args = ["quantize", "-m", tinyModel(folder.path), "--type", "nf4", "-o", output, "--overwrite"];
  const foreign = await graft(args);
  assert.equal(foreign.code, 1);
  assert.match(foreign.err, /^graft: Cannot overwrite .*small: it has no config\.json/);
  Deno.writeTextFileSync(`${output}/config.json`, "{}");
  const before = Array.from(Deno.readDirSync(folder.path), ({ name }) => name).sort();
  // A limit on file sizes stands in for a full disk.
  const ran = await new Deno.Command("bash", {
    args: ["-c", `trap '' XFSZ; ulimit -f 4; exec "$0" "$@"`, Deno.execPath(), ...graftArguments(args)],
    stderr: "piped",
  }).output();
  const err = new TextDecoder().decode(ran.stderr);
  assert.equal(ran.code, 1, err);
  assert.match(err, /^graft: Cannot write .*model\.safetensors: .*; what was there before is whole\n$/m);
  assert.deepEqual(Array.from(Deno.readDirSync(folder.path), ({ name }) => name).sort(), before);
  assert.equal(Deno.readTextFileSync(`${output}/mine.txt`), "small");
  const again = await graft(args);
  assert.equal(again.code, 0, again.err);
  for (const name of ["small.old", "small.partial"]) {
    assert.equal(Deno.readTextFileSync(`${folder.path}/${name}/mine.txt`), name);
  }
});

Deno.test("graft quantize writes GPT-2 with the codes that transformers writes", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/small`;
  const ran = await graft(["quantize", "-m", `${GOLDEN}bitsandbytes_gpt2/base`, "--type", "nf4", "-o", path]);
  assert.equal(ran.code, 0, ran.err);
  const [ours, theirs] = [path, `${GOLDEN}bitsandbytes_gpt2/nf4`].map((folder) => {
    const file = openSafetensors(`${folder}/model.safetensors`);
    const codes = file.raw.get("transformer.h.1.mlp.c_proj.weight")!.read().slice();
    file.close();
    return codes;
  });
  assert.deepEqual(ours, theirs);
});

Deno.test("graft quantize refuses types that the output cannot hold, before loading anything", async () => {
  const refusals: readonly (readonly [readonly string[], RegExp])[] = [
    [["--type", "q8_0", "-o", "folder"], /Cannot write q8_0 into a folder/],
    [["--type", "nf4", "-o", "file.gguf"], /Cannot write nf4 into a GGUF file/],
    [["--type", "nf4", "--embeddings", "int8", "-o", "folder"], /Cannot write int8 embeddings into a folder/],
    [["--type", "q8_0", "--embeddings", "int8", "-o", "file.gguf"], /Cannot write int8 into a GGUF file/],
    [["--type", "nf4"], /Expected --type and --output, or --compare/],
    [["--type", "q4_k", "-o", "file.gguf"], /argument 'q4_k' is invalid/],
  ];
  for (const [args, complaint] of refusals) {
    const { code, err } = await graft(["quantize", "-m", "nowhere", ...args]);
    assert.match(err, complaint);
    assert.equal(code, 2);
  }
});

Deno.test("graft quantize --compare measures every type beside the survey's figures", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  Deno.writeTextFileSync(`${folder.path}/text.txt`, TEXT);
  const args = ["quantize", "-m", model, "--compare", "--text", `${folder.path}/text.txt`, "--tokens", "200"];
  const [ran, text] = await Promise.all([graft([...args, "--json"]), graft(args)]);
  assert.equal(ran.code, 0, ran.err);
  const result = JSON.parse(ran.out);
  assert.deepEqual(
    result.types.map((t: { dtype: string; survey?: number }) => [t.dtype, t.survey]),
    FOUR_BIT.map(({ dtype, survey }) => [dtype, survey]),
  );
  assert.deepEqual(result.disagreements, disagreements(result.types));
  await withBackend("reference", async (backend) => {
    const base = await loadModel(model, { backend });
    const rows = textRows([TEXT], base.tokenizer, 64);
    const kept = { ...rows, count: 4 }; // the first rows with 200 tokens
    const close = (a: number, b: number): void => assert.ok(Math.abs(a / b - 1) < 1e-4, `${a} ${b}`);
    close(result.perplexity, (await heldOutLoss(base, kept, { batchSize: 1, pad: 0 })).perplexity);
    for (const { dtype, perplexity, bitsPerWeight, layers } of result.types) {
      const small = quantize(base, { dtype });
      close(perplexity, (await heldOutLoss(small, kept, { batchSize: 1, pad: 0 })).perplexity);
      const leaves = base.spec.linears.map((place) =>
        lookup(small.weights, `${place.path}.weight`) as Tensor
      );
      const sum = (of: (t: Tensor) => number): number => leaves.reduce((n, t) => n + of(t), 0);
      close(bitsPerWeight, 8 * sum((t) => t.bytes) / sum((t) => t.size));
      assert.deepEqual(layers.map((part: { layer: number }) => part.layer), [0, 1]);
      small.dispose();
    }
    base.dispose();
  });
  assert.equal(text.code, 0, text.err);
  assert.match(
    text.out,
    /\nint4 .* 34\.34\ne2m1 .* 31\.07\ne3m0 .* 29\.48\nfp4 .*\nnf4 .*\nnf4_double .* 27\.41\n/,
  );
  assert.match(text.out, /The (survey puts \w+ before \w+; here \w+ is better|order is the survey's)/);
});

Deno.test("disagreements() are the pairs whose order is not the survey's", () => {
  const types = [
    { dtype: "int4", survey: 34, perplexity: 5 },
    { dtype: "e3m0", survey: 29, perplexity: 7 },
    { dtype: "fp4", perplexity: 1 },
    { dtype: "nf4", survey: 27, perplexity: 6 },
  ];
  assert.deepEqual(disagreements(types), [["e3m0", "int4"], ["nf4", "int4"]]);
  assert.deepEqual(disagreements(types.map((t) => ({ ...t, perplexity: t.survey ?? 0 }))), []);
});
