/** `graft convert`: what comes out computes what went in; what it refuses, before anything is written. */
import assert from "node:assert/strict";
import {
  bytesOf,
  forward,
  graft as grafted,
  keep,
  lookup,
  read,
  type Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import { inspectPath } from "../../io/inspect.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { openGguf } from "../../formats/gguf.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import peftBatch from "../oracles/golden/peft_folders/batch.json" with { type: "json" };
import { assertClose } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";
import { graft, temporaryFolder } from "./tiny.ts";

const BASE = `${GOLDEN}llama_lora/base`;
const HF = `${GOLDEN}formats/hf_llama`;

/** Logits of a base with an adapter, on PEFT's batch. */
async function logits(base: string, adapter: string): Promise<Float32Array> {
  let numbers = new Float32Array();
  await withBackend("reference", async (backend) => {
    const model = await loadModel(base, { backend });
    const loaded = await loadAdapter(adapter, model);
    keep(loaded.params);
    numbers = await read(forward(grafted(model, loaded), peftBatch).logits) as Float32Array<ArrayBuffer>;
  });
  return numbers;
}

Deno.test("graft convert takes an adapter from PEFT to GGUF and back, with PEFT's logits", async () => {
  using folder = temporaryFolder();
  const [file, back] = [`${folder.path}/a.gguf`, `${folder.path}/back`];
  const there = await graft(["convert", `${GOLDEN}peft_folders/random`, file, "-m", BASE]);
  assert.equal(there.code, 0, there.err);
  assert.match(there.out, /a\.gguf: lora, 504 parameters, as gguf\n$/);
  assert.match(there.err, /Writing .*a\.gguf: 2\.02 kB\n/); // 504 numbers of four bytes
  const quiet = await graft([
    "convert",
    `${GOLDEN}peft_folders/random`,
    `${folder.path}/q.gguf`,
    "-m",
    BASE,
    "--quiet",
  ]);
  assert.equal(quiet.err.includes("Writing"), false, quiet.err);
  assert.match(there.err, /The adapter names ".*llama_lora\/base" as its base; here it is put on/);
  const [ours, theirs] = [openGguf(file), openGguf(`${GOLDEN}gguf_adapter/random.gguf`)];
  for (const [name, t] of theirs.tensors) assert.deepEqual(ours.tensors.get(name)!.read(), t.read(), name);
  ours.close();
  theirs.close();
  const home = await graft(["convert", file, back, "-m", BASE, "--json"]);
  assert.equal(home.code, 0, home.err);
  assert.deepEqual(JSON.parse(home.out), {
    kind: "adapter",
    target: back,
    format: "peft",
    method: "lora",
    parameters: 504,
  });
  const expected = goldenNumbers("peft_folders/random/expected.safetensors").get("logits")!;
  assertClose(await logits(BASE, back), expected, 1e-5, "logits");
  const [first, last] = [`${GOLDEN}peft_folders/random`, back].map((path) =>
    openSafetensors(`${path}/adapter_model.safetensors`)
  );
  assert.deepEqual([...first!.tensors.keys()].sort(), [...last!.tensors.keys()].sort());
  for (const [name, t] of first!.tensors) assert.deepEqual(last!.tensors.get(name)!.read(), t.read(), name);
  first!.close();
  last!.close();
});

Deno.test("graft convert --error and --rank write another method as LoRA, and say what was lost", async () => {
  using folder = temporaryFolder();
  const dora = `${GOLDEN}peft_folders/dora`;
  const [exact, cut] = [`${folder.path}/exact.gguf`, `${folder.path}/cut`];
  const refused = await graft(["convert", dora, exact, "-m", BASE]);
  assert.deepEqual([refused.code, /no low-rank product; give a rank or an error bound/.test(refused.err)], [
    1,
    true,
  ]);
  const ran = await graft(["convert", dora, exact, "-m", BASE, "--error", "0"]);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /dora as LoRA of rank [\d to]+, relative error \d/);
  const expected = goldenNumbers("peft_folders/dora/expected.safetensors").get("logits")!;
  assertClose(await logits(BASE, exact), expected, 1e-4, "logits");
  const short = await graft(["convert", dora, cut, "-m", BASE, "--rank", "1", "--json"]);
  assert.equal(short.code, 0, short.err);
  const said = JSON.parse(short.out);
  assert.ok(said.lora.error > 0.05 && said.lora.error < 1, String(said.lora.error));
  const made = await inspectPath(cut);
  assert.ok(made.kind === "adapter" && made.method === "LORA" && made.options["r"] !== undefined);
});

Deno.test("graft inspect shows what a GGUF adapter holds", async () => {
  const path = `${GOLDEN}gguf_adapter/random.gguf`;
  const { dtypes: _, ...found } = { ...await inspectPath(path) } as Record<string, unknown>;
  assert.deepEqual(found, {
    kind: "adapter",
    format: "gguf",
    method: "lora",
    targets: ["attn_q", "attn_v"],
    options: { architecture: "llama", alpha: 5 },
    tensors: 8,
    parameters: 504,
    bytes: 4 * 504,
  });
  const ran = await graft(["inspect", path]);
  assert.match(ran.out, /: an adapter\n[^]*format +GGUF\n[^]*targets +attn_q, attn_v\n[^]*alpha +5\n/);
});

Deno.test("graft convert takes a model round: folder, GGUF blocks, folder, bitsandbytes and back", async () => {
  using folder = temporaryFolder();
  const at = (name: string): string => `${folder.path}/${name}`;
  const steps: readonly (readonly [from: string, to: string, more: readonly string[], says: RegExp])[] = [
    [HF, at("f32.gguf"), [], /gguf, weights as stored/],
    [at("f32.gguf"), at("again"), [], /safetensors, weights as stored/],
    [HF, at("q8.gguf"), ["--dtype", "q8_0"], /gguf, weights q8_0/],
    [at("q8.gguf"), at("plain"), [], /safetensors, weights f16/],
    [at("again"), at("nf4"), ["--dtype", "nf4_double"], /bitsandbytes, weights nf4_double/],
    [at("nf4"), at("nf4-copy"), [], /bitsandbytes, weights as stored/],
    [at("nf4"), at("nf4.gguf"), [], /gguf, weights f16/],
    [at("nf4"), at("decoded"), ["--to", "safetensors", "--dtype", "f32"], /safetensors, weights f32/],
  ];
  for (const [from, to, more, says] of steps) {
    const ran = await graft(["convert", from, to, ...more]);
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.out, says, to);
  }
  await withBackend("reference", async (backend) => {
    const load = (path: string) => loadModel(path, { backend });
    const [first, again, q8, plain, decoded] = [
      await load(HF),
      await load(at("again")),
      await load(at("q8.gguf")),
      await load(at("plain")),
      await load(at("decoded")),
    ];
    for (const [path, leaf] of weightLeaves(first.weights)) {
      assert.deepEqual(await bytesOf(lookup(again.weights, path) as Tensor), await bytesOf(leaf), path);
    }
    assert.equal((lookup(q8.weights, "model.layers.0.mlp.up_proj.weight") as Tensor).dtype, "q8_0");
    const run = async (model: typeof first): Promise<Float32Array> =>
      await read(forward(model, { inputIds: [[1, 2, 3, 4]] }).logits);
    assertClose(await run(plain), await run(q8), 1e-3, "f16 of q8_0");
    assertClose(await run(decoded), await run(await load(at("nf4"))), 1e-6, "f32 of nf4");
    assertClose(await run(await load(at("nf4.gguf"))), await run(decoded), 1e-3, "f16 of nf4");
  });
  // Codes and scales of a bitsandbytes folder pass through as they are.
  const [nf4, copy] = ["nf4", "nf4-copy"].map((name) => openSafetensors(`${at(name)}/model.safetensors`));
  assert.deepEqual([...copy!.raw.keys()], [...nf4!.raw.keys()]);
  for (const [name, t] of nf4!.raw) assert.deepEqual(copy!.raw.get(name)!.read(), t.read(), name);
  nf4!.close();
  copy!.close();
});

for (const name of ["bnb_nf4", "bnb_nf4_double", "bnb_fp4", "bnb_fp4_double", "bnb_int8"]) {
  Deno.test(`graft convert copies what transformers wrote bit for bit: ${name}`, async () => {
    using folder = temporaryFolder();
    const path = `${folder.path}/copy`;
    const ran = await graft(["convert", `${GOLDEN}formats/${name}`, path]);
    assert.equal(ran.code, 0, ran.err);
    const [theirs, ours] = [`${GOLDEN}formats/${name}`, path].map((at) =>
      openSafetensors(`${at}/model.safetensors`)
    );
    assert.deepEqual([...ours!.raw.keys()].sort(), [...theirs!.raw.keys()].sort());
    for (const [key, t] of theirs!.raw) {
      const found = ours!.raw.get(key)!;
      if (key.includes("quant_state")) {
        // JSON, which also names the dtype that others decode the weight to.
        const [a, b] = [t, found].map(({ read }) =>
          new TextDecoder().decode(read()).replace(/"dtype": "\w+"/, '"dtype": …')
        );
        assert.equal(b, a, key);
        continue;
      }
      if (t.shape.length === 1 && t.type !== "F32" && found.type === "F32") continue; // norms are widened when loaded
      assert.deepEqual([found.type, found.shape], [t.type, t.shape], key);
      assert.deepEqual(found.read(), t.read(), key);
    }
    theirs!.close();
    ours!.close();
  });
}

Deno.test("graft convert turns GPT-2's matrices for bitsandbytes, and back", async () => {
  using folder = temporaryFolder();
  const [small, plain] = [`${folder.path}/small`, `${folder.path}/plain`];
  for (
    const args of [
      ["convert", `${GOLDEN}bitsandbytes_gpt2/base`, small, "--to", "bitsandbytes", "--dtype", "int8"],
      ["convert", small, plain, "--to", "safetensors", "--dtype", "f32"],
    ]
  ) {
    const ran = await graft(args);
    assert.equal(ran.code, 0, ran.err);
  }
  const shapes = [small, plain].map((path) => {
    const file = openSafetensors(`${path}/model.safetensors`);
    const { type, shape } = file.raw.get("transformer.h.0.mlp.c_fc.weight")!;
    file.close();
    return [type, shape];
  });
  assert.deepEqual(shapes, [["I8", [72, 20]], ["F32", [20, 72]]]);
});

Deno.test("graft convert refuses what does not go together, before it loads anything", async () => {
  using folder = temporaryFolder();
  const [model, lora] = [HF, `${GOLDEN}peft_folders/random`];
  const refusals: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[lora, "a.gguf", "--rank", "2", "--error", "0.1"], 2, /--rank or --error but found both/],
    [[lora, "a", "--to", "gguf"], 2, /a target that ends in \.gguf/],
    [[lora, "a.gguf", "--to", "peft"], 2, /give a folder as target/],
    [[lora, "a", "--to", "bitsandbytes"], 2, /Cannot write an adapter as bitsandbytes/],
    [[lora, "a", "--dtype", "f16"], 2, /its factors stay f32/],
    [[model, "a", "--to", "peft"], 2, /Cannot write a model as peft/],
    [[model, "a", "--dtype", "q8_0"], 2, /Cannot store q8_0 as safetensors/],
    [[model, "a.gguf", "--dtype", "nf4"], 2, /Cannot store nf4 as gguf/],
    [[model, "a", "--to", "bitsandbytes"], 2, /Expected --dtype with bitsandbytes/],
    [[model, "a", "--rank", "2"], 2, /Cannot use --rank: .* is a model/],
    [[model, "a", "-m", model], 2, /Cannot use --model/],
    [[`${GOLDEN}formats/plain.safetensors`, "a"], 1, /neither a model nor an adapter/],
    [[`${GOLDEN}formats/bnb_nf4`, "a.gguf", "--dtype", "q8_0"], 1, /is nf4 already; .*--requantize/],
    [[`${GOLDEN}peft_folders/ia3_llama`, "a.gguf", "-m", BASE], 1, /as LoRA|as updates of matrices/],
    [[lora, "a.gguf", "-m", `${GOLDEN}peft_folders/bases/gpt2`], 1, /"v_proj" matches no layer of the model/],
    [[`${folder.path}/none`, "a"], 1, /Cannot load ".*none"/],
  ];
  const run = async ([args, code, message]: typeof refusals[number]): Promise<void> => {
    const [source, target, ...more] = args as [string, string, ...string[]];
    const ran = await graft(["convert", source, `${folder.path}/${target}`, ...more]);
    assert.deepEqual([ran.code, message.test(ran.err)], [code, true], `${args.join(" ")}\n${ran.err}`);
  };
  for (let i = 0; i < refusals.length; i += 2) await Promise.all(refusals.slice(i, i + 2).map(run));
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
  const there = await graft(["convert", model, folder.path]); // empty folders are nothing
  assert.equal(there.code, 0, there.err);
  assert.match((await graft(["convert", model, folder.path])).err, /it exists; .*--overwrite/);
});

Deno.test("graft convert takes an adapter to graft's own folder and back", async () => {
  using folder = temporaryFolder();
  const [own, back] = [`${folder.path}/own`, `${folder.path}/back`];
  const there = await graft(["convert", `${GOLDEN}peft_folders/dora`, own, "-m", BASE, "--to", "graft"]);
  assert.equal(there.code, 0, there.err);
  const home = await graft(["convert", own, back, "-m", BASE]);
  assert.equal(home.code, 0, home.err);
  const expected = goldenNumbers("peft_folders/dora/expected.safetensors").get("logits")!;
  assertClose(await logits(BASE, back), expected, 1e-5, "logits");
});

Deno.test("graft convert --name takes one of several adapters", async () => {
  using folder = temporaryFolder();
  for (const name of ["a", "b"]) {
    Deno.mkdirSync(`${folder.path}/both/${name}`, { recursive: true });
    for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
      Deno.copyFileSync(
        `${GOLDEN}peft_folders/${name === "a" ? "random" : "dora"}/${file}`,
        `${folder.path}/both/${name}/${file}`,
      );
    }
  }
  const [both, out] = [`${folder.path}/both`, `${folder.path}/out.gguf`];
  const unsaid = await graft(["convert", both, out, "-m", BASE]);
  assert.deepEqual([unsaid.code, /holds the adapters a, b: say which with --name/.test(unsaid.err)], [
    2,
    true,
  ]);
  const ran = await graft(["convert", both, out, "-m", BASE, "--name", "a"]);
  assert.equal(ran.code, 0, ran.err);
  const made = openGguf(out);
  assert.equal(made.metadata.get("general.name"), "lora");
  made.close();
});
