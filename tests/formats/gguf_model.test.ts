import assert from "node:assert/strict";
import fc from "fast-check";
import type { DType, Shape } from "../../tensor/mod.ts";
import { openGguf } from "../../formats/gguf.ts";
import { configFromGguf, ggufFromConfig } from "../../formats/gguf_config.ts";
import { plainGgufValue } from "../../formats/gguf_metadata.ts";
import type { GgufValue } from "../../formats/gguf_metadata.ts";
import { ggufContent, ggufModel } from "../../formats/gguf_model.ts";
import { ggufName, huggingFaceName } from "../../formats/gguf_names.ts";
import { llama3Factors } from "../../formats/gguf_rope.ts";
import { writeGguf } from "../../formats/gguf_write.ts";
import { fromInterleaved, reorderRows, toInterleaved, transposed } from "../../formats/relayout.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { f32, GOLDEN, golden, inFolder, joined } from "./golden.ts";

/** Decodes the dtypes that the golden models use, in f32 as Python's gguf does. */
function decode(dtype: DType, _shape: Shape, bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === "f32") return f32(bytes);
  if (dtype === "f16") {
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getFloat16(2 * i, true));
  }
  const block = dtype === "q8_0" ? 34 : 20;
  assert.ok(dtype === "q8_0" || dtype === "q4_1");
  return Float32Array.from({ length: bytes.length / block * 32 }, (_, i) => {
    const at = Math.floor(i / 32) * block;
    const j = i % 32;
    const d = view.getFloat16(at, true);
    if (dtype === "q8_0") return Math.fround(d * view.getInt8(at + 2 + j));
    const code = j < 16 ? view.getUint8(at + 4 + j) & 15 : view.getUint8(at + 4 + j - 16) >> 4;
    return Math.fround(Math.fround(d * code) + view.getFloat16(at + 2, true));
  });
}

for (const architecture of ["llama", "qwen2", "qwen3", "gemma3", "gpt2"] as const) {
  Deno.test(`ggufModel() gives the tensors and config that transformers loads from a ${architecture} GGUF`, () => {
    const model = ggufModel(openGguf(GOLDEN + `${architecture}.gguf`));
    const expected = openSafetensors(GOLDEN + `${architecture}_gguf_by_transformers.safetensors`);
    assert.deepEqual([...model.tensors.tensors.keys()].sort(), [...expected.tensors.keys()].sort());
    for (const [name, t] of model.tensors.tensors) {
      const want = expected.tensors.get(name)!;
      assert.equal(t.name, name);
      assert.deepEqual(t.shape, want.shape, name);
      assert.deepEqual(decode(t.dtype, t.shape, t.read()), f32(want.read()), name);
      if (t.chunks) assert.deepEqual(joined(t.chunks()), t.read(), name);
    }
    const config = golden(`${architecture}_config_by_transformers.json`);
    const ours = Object.fromEntries(Object.keys(config).map((key) => [key, model.config[key]]));
    // The golden GPT-2 has its config from elsewhere, with the number that f32 rounds.
    const rounded = (fields: object) =>
      JSON.parse(JSON.stringify(fields), (_, v) => typeof v === "number" ? Math.fround(v) : v);
    assert.deepEqual(rounded(ours), rounded(config));
    model.tensors.close();
    expected.close();
  });

  Deno.test(`ggufContent() of a ${architecture} checkpoint is what Python's gguf holds, and reads back as the checkpoint`, async () => {
    const hf = openSafetensors(GOLDEN + `hf_${architecture}/model.safetensors`);
    const config = golden(`hf_${architecture}/config.json`);
    const python = openGguf(GOLDEN + `${architecture}.gguf`);
    const extra = new Map([...python.fields].filter(([key]) => key.startsWith("tokenizer.")));
    await inFolder(async (folder) => {
      const { fields, tensors } = ggufContent(config, hf.tensors.values(), extra);
      await writeGguf(folder + "ours.gguf", fields, tensors);
      const ours = openGguf(folder + "ours.gguf");
      assert.deepEqual([...ours.tensors.keys()].sort(), [...python.tensors.keys()].sort());
      for (const [name, t] of python.tensors) {
        if (t.dtype === "f32") assert.deepEqual(ours.tensors.get(name)!.read(), t.read(), name);
        assert.deepEqual(ours.tensors.get(name)!.shape, t.shape, name);
      }
      for (const [key, value] of python.metadata) assert.deepEqual(ours.metadata.get(key), value, key);
      const back = ggufModel(ours);
      const skip = config.tie_word_embeddings === false ? [] : ["lm_head.weight"];
      assert.deepEqual(
        [...back.tensors.tensors.keys()].sort(),
        [...hf.tensors.keys()].filter((n) => !skip.includes(n)).sort(),
      );
      for (const [name, t] of back.tensors.tensors) {
        const was = hf.tensors.get(name)!.read();
        if (architecture === "gemma3" && name.endsWith("norm.weight")) { // one was added, which rounds, and taken away
          f32(t.read()).forEach((x, i) => assert.ok(Math.abs(x - f32(was)[i]!) <= 2 ** -24, name));
        } else {
          assert.deepEqual(t.read(), was, name);
        }
        assert.deepEqual(t.shape, hf.tensors.get(name)!.shape, name);
      }
      ours.close();
    });
    hf.close();
    python.close();
  });
}

Deno.test("ggufContent() leaves out a repeated tied head, widens half vectors and states the main type", async () => {
  const config = golden("hf_llama/config.json");
  const make = (name: string, dtype: DType, shape: number[], bytes: number[]): StoredTensor => (
    { name, dtype, shape, byteLength: bytes.length, read: () => new Uint8Array(bytes) }
  );
  const { fields, tensors } = ggufContent(config, [
    make("lm_head.weight", "f16", [1, 2], [0, 0, 0, 0]),
    make("model.embed_tokens.weight", "q8_0", [1, 32], Array(34).fill(0)),
    make("model.norm.weight", "f16", [3], [0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc]), // 1, 2^-24, -infinity
    make("model.layers.0.input_layernorm.weight", "bf16", [2], [0x80, 0x3f, 0x20, 0xc0]), // 1, -2.5
  ]);
  assert.deepEqual(tensors.map((t) => [t.name, t.dtype, t.byteLength]), [
    ["token_embd.weight", "q8_0", 34],
    ["output_norm.weight", "f32", 12],
    ["blk.0.attn_norm.weight", "f32", 8],
  ]);
  assert.deepEqual([...f32(await tensors[1]!.read())], [1, 2 ** -24, -Infinity]);
  assert.deepEqual([...f32(await tensors[2]!.read())], [1, -2.5]);
  assert.deepEqual(fields.get("general.file_type"), { type: "u32", value: 7 });
  assert.deepEqual(fields.get("general.quantization_version"), { type: "u32", value: 2 });
  const untied = ggufContent({ ...config, tie_word_embeddings: false }, [
    make("lm_head.weight", "f16", [1, 2], [0, 0, 0, 0]),
  ]);
  assert.deepEqual(untied.tensors.map((t) => t.name), ["output.weight"]);
  assert.throws(
    () => ggufContent(config, [make("model.rotary.inv_freq", "f32", [1], [0, 0, 0, 0])]),
    /TypeError.*no tensor/,
  );
  assert.throws(() => ggufContent({ ...config, model_type: "bert" }, []), /TypeError.*found bert/);
  assert.throws(
    () => ggufContent({ ...config, hidden_size: "8" }, []),
    /TypeError.*"hidden_size" to be a number/,
  );
});

Deno.test("fromInterleaved() and toInterleaved() undo each other, and move q4_1 rows whole", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (heads, pairs) => {
    const shape = [heads * pairs * 2, 32];
    const bytes = new Uint8Array(shape[0]! * 20).map((_, i) => Math.floor(i / 20) * 3 + i % 20);
    const there = reorderRows("w", "q4_1", shape, bytes, toInterleaved("w", shape, heads));
    assert.deepEqual(reorderRows("w", "q4_1", shape, there, fromInterleaved("w", shape, heads)), bytes);
  }));
  // Head of 4 rows stored as (pair 0, half 0), (pair 0, half 1), (pair 1, half 0), (pair 1, half 1).
  assert.deepEqual([0, 1, 2, 3].map(fromInterleaved("w", [4, 1], 1)), [0, 2, 1, 3]);
  assert.deepEqual([0, 1, 2, 3, 4, 5].map(fromInterleaved("w", [6, 1], 1)), [0, 2, 4, 1, 3, 5]);
  assert.throws(() => fromInterleaved("w", [6, 1], 2), /RangeError.*2 heads of even size/);
  assert.throws(
    () => reorderRows("w", "nf4", [2, 64], new Uint8Array(80), (i) => i),
    /TypeError.*nf4 keeps its scales/,
  );
});

Deno.test("transposed() turns plain matrices only", () => {
  assert.deepEqual(
    [...transposed("w", "u8", [2, 3], new Uint8Array([1, 2, 3, 4, 5, 6]))],
    [1, 4, 2, 5, 3, 6],
  );
  assert.deepEqual([...transposed("w", "f16", [1, 2], new Uint8Array([1, 2, 3, 4]))], [1, 2, 3, 4]);
  assert.throws(() => transposed("w", "q8_0", [2, 32], new Uint8Array(68)), /TypeError.*decode it first/);
});

Deno.test("ggufModel() leaves quantized GPT-2 matrices as they lie, [out, in]", async () => {
  const shapes: [string, number[]][] = [["token_embd.weight", [3, 32]], ["blk.0.attn_qkv.weight", [2, 32]]];
  const fields = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "gpt2" }],
    ...["context_length", "embedding_length", "block_count", "attention.head_count"]
      .map((key) => [`gpt2.${key}`, { type: "u32", value: 32 }] as [string, GgufValue]),
    ["gpt2.attention.layer_norm_epsilon", { type: "f32", value: 1e-5 }],
  ]);
  await inFolder(async (folder) => {
    const stored = shapes.map(([name, shape]): StoredTensor => {
      const bytes = new Uint8Array(34 * shape[0]!).map((_, i) => i % 34 === 0 ? 0 : i % 34 === 1 ? 0x3c : i);
      return { name, dtype: "q8_0", shape, byteLength: bytes.length, read: () => bytes };
    });
    await writeGguf(folder + "g.gguf", fields, stored);
    const file = openGguf(folder + "g.gguf");
    const t = ggufModel(file).tensors.tensors.get("transformer.h.0.attn.c_attn.weight")!;
    assert.deepEqual([t.dtype, t.shape, t.read()], ["q8_0", [2, 32], stored[1]!.read()]);
    file.close();
  });
});

Deno.test("huggingFaceName() and ggufName() undo each other and know nothing else", () => {
  for (
    const name of [
      "blk.12.attn_q.weight",
      "blk.0.attn_k.bias",
      "token_embd.weight",
      "output_norm.weight",
      "output.weight",
    ]
  ) {
    assert.equal(ggufName("llama", huggingFaceName("llama", name)!), name);
  }
  assert.equal(huggingFaceName("llama", "blk.12.attn_q.weight"), "model.layers.12.self_attn.q_proj.weight");
  assert.equal(huggingFaceName("gpt2", "blk.3.ffn_up.bias"), "transformer.h.3.mlp.c_fc.bias");
  for (
    const name of [
      "blk.0.attn_qkv.weight",
      "blk.x.attn_q.weight",
      "blk.0.attn_q",
      "blk.{}.attn_q.weight",
      "attn_q.weight",
    ]
  ) {
    assert.equal(huggingFaceName("llama", name), undefined, name);
  }
});

Deno.test("ggufModel() refuses unknown architectures, mixtures and tensors without a place", () => {
  const file = openGguf(GOLDEN + "llama.gguf");
  const as = (metadata: [string, unknown][], tensors = file.tensors) =>
    ggufModel({ ...file, tensors, metadata: new Map([...file.metadata, ...metadata]) });
  assert.throws(() => as([["general.architecture", "mamba"]]), /TypeError.*found mamba/);
  assert.throws(() => as([["llama.expert_count", 8]]), /TypeError.*mixtures/);
  assert.throws(
    () => as([["llama.block_count", undefined]]),
    /RangeError.*llama.block_count to be a number but found undefined/,
  );
  assert.throws(() => as([["llama.attention.head_count", [4, 8]]]), /RangeError.*found 4,8/);
  const stray = new Map(
    [...file.tensors, ["blk.0.ssm_a", file.tensors.get("output_norm.weight")!]].map((
      [name, t],
    ) => [name as string, { ...t as StoredTensor, name: name as string }]),
  );
  assert.throws(() => as([], stray), /RangeError.*a llama model has no tensor "blk.0.ssm_a"/);
  assert.throws(() => as([["llama.rope.scaling.type", "longrope"]]), /RangeError.*"longrope"/);
  file.close();
});

Deno.test("configFromGguf() finds the rope scaling that ggufFromConfig() and llama3Factors() wrote", () => {
  const base = golden("hf_llama/config.json");
  const facts = { vocabulary: 40, head: false, attentionBias: false };
  const roundTrip = (scaling: unknown, factors?: Float32Array) => {
    const fields = ggufFromConfig({ ...base, rope_scaling: scaling });
    const metadata = new Map([...fields].map(([key, value]) => [key, plainGgufValue(value)]));
    return configFromGguf(metadata, {
      ...facts,
      ...(factors ? { ropeFactors: factors } : {}),
    })["rope_scaling"];
  };
  assert.equal(roundTrip(null), null);
  assert.deepEqual(roundTrip({ type: "linear", factor: 4 }), { rope_type: "linear", factor: 4 });
  const yarn = { rope_type: "yarn", factor: 2, original_max_position_embeddings: 4096 };
  assert.deepEqual(roundTrip(yarn), yarn);
  assert.throws(() => roundTrip({ rope_type: "longrope" }), /TypeError.*"longrope"/);
  const llama3 = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  // transformers 4.57, _compute_llama3_parameters, theta 500000, head width 16: plain frequency / scaled frequency.
  const factors = llama3Factors(llama3, 500000, 16)!;
  for (const [i, want] of LLAMA3_BY_TRANSFORMERS.entries()) {
    assert.ok(Math.abs(factors[i]! - want) < 1e-5 * want, `${i}`);
  }
  assert.deepEqual(roundTrip(llama3, llama3Factors(llama3, base.rope_theta, 16)), llama3);
  assert.throws(() => roundTrip(null, Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8)), /RangeError.*not Llama 3/);
});

const LLAMA3_BY_TRANSFORMERS: readonly number[] = [1, 1, 1, 1, 2.6945301796005805, 8, 8, 8];

Deno.test("ggufFromConfig() refuses a Gemma 3 that llama.cpp would compute otherwise, and configFromGguf() capped scores", () => {
  const config = golden("hf_gemma3/config.json");
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ rope_local_base_freq: 5000 }, /TypeError.*rope_local_base_freq 5000/],
    [{ query_pre_attn_scalar: 8 }, /TypeError.*query_pre_attn_scalar 8 for heads of 16/],
    [{ layer_types: config.layer_types.toReversed() }, /TypeError.*every sixth/],
    [{ attention_bias: true }, /TypeError.*attention_bias/],
  ];
  for (const [change, reason] of refused) {
    assert.throws(() => ggufFromConfig({ ...config, ...change }), reason);
  }
  const python = openGguf(GOLDEN + "gemma3.gguf");
  const capped = new Map([...python.metadata, ["gemma3.final_logit_softcapping", 30]]);
  assert.throws(
    () => configFromGguf(capped, { vocabulary: 40, head: false, attentionBias: false }),
    /RangeError.*final_logit_softcapping 30/,
  );
  python.close();
});
